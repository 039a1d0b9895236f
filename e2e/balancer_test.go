//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// balanced is a provider, and proxies after a HAProxy with configs/haproxy.cfg.
type balanced struct {
	dir      string
	provider *sandbox.Server
	proxies  []*proxy
	addr     string // where HAProxy listens
	home     string // and for the accounts of the first proxy
}

// balancedProxies is as many as configs/haproxy.cfg names.
const balancedProxies = 3

// newBalanced starts all. Each proxy may have so many connections of an account.
func newBalanced(t *testing.T, cfg sandbox.Config, connections int) *balanced {
	t.Helper()
	b := &balanced{dir: t.TempDir(), provider: provider.Start(t, cfg), addr: "127.0.0.1:" + freePort(t), home: "127.0.0.1:" + freePort(t)}
	t.Cleanup(func() { provider.NoViolations(t, b.provider) })
	replace := [][2]string{{"stats socket /run/haproxy/admin.sock", "stats socket " + filepath.Join(b.dir, "haproxy.sock")}, {"bind :2525", "bind " + b.addr}, {"bind :2601", "bind " + b.home},
		{"maxconn 20000", "maxconn 1000"}} // what a limit on descriptors may allow
	for i := range balancedProxies {
		p := b.addProxy(t, i, connections)
		_, admin, err := net.SplitHostPort(p.admin)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // each proxy is named in two places
			replace = append(replace, [2]string{fmt.Sprintf("10.1.2.1%d:2525 check port 9090", i+1), p.addr + " check port " + admin})
		}
	}
	config := filepath.Join(b.dir, "haproxy.cfg")
	if err := os.WriteFile(config, []byte(withHome(t, sample(t, "haproxy.cfg", replace...))), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "haproxy"), "-db", "-f", config)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	testkit.Eventually(t, "HAProxy listens", func() bool {
		conn, err := net.Dial("tcp", b.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return b
}

// withHome puts the example of a home proxy into force, which is a comment.
func withHome(t *testing.T, config string) string {
	t.Helper()
	before, rest, ok := strings.Cut(config, "# listen home1\n")
	block, _, ended := strings.Cut(rest, "#\n")
	if !ok || !ended {
		t.Fatal("haproxy.cfg has no example of a home proxy")
	}
	return before + "listen home1\n" + strings.ReplaceAll("\n"+block, "\n# ", "\n")
}

// addProxy starts a proxy with files of its own, which is to trust what HAProxy says of
// clients.
func (b *balanced) addProxy(t *testing.T, number, connections int) *proxy {
	t.Helper()
	dir := filepath.Join(b.dir, fmt.Sprint("mx", number+1))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := b.provider.WriteProxyFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	edit(t, files.Config, func(root map[string]any) {
		root["listeners"] = []map[string]any{{"address": "127.0.0.1:0", "proxy_from": []string{"127.0.0.1"}}}
		root["server"] = map[string]any{"shutdown_delay": "5s"}
		root["log"] = map[string]any{"format": "json", "messages": "all"}
		root["providers"] = map[string]any{"gmail": map[string]any{"max_concurrent_messages": connections,
			"connection_pool": map[string]any{"max_connections_per_account": connections}}}
	})
	p := launchProxy(t, files)
	b.proxies = append(b.proxies, p)
	return p
}

// isUp reports whether HAProxy sends new connections to a proxy.
func (b *balanced) isUp(t *testing.T, number int) bool {
	t.Helper()
	conn, err := net.DialTimeout("unix", filepath.Join(b.dir, "haproxy.sock"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, "show servers state proxies"); err != nil {
		t.Fatal(err)
	}
	text := textproto.NewReader(textproto.NewConn(conn).R)
	for {
		line, err := text.ReadLine()
		if err != nil {
			t.Fatalf("HAProxy does not know mx%d: %v", number+1, err)
		}
		var backend, server int
		var names [2]string
		var address string
		var state int
		if n, _ := fmt.Sscan(line, &backend, &names[0], &server, &names[1], &address, &state); n == 6 && names[1] == fmt.Sprint("mx", number+1) {
			return state == 2 // SRV_ST_RUNNING of its management guide
		}
	}
}
