//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

const (
	serviceUnit = "xoauth2-proxy.service"
	socketUnit  = "xoauth2-proxy.socket"
)

// TestUnits has systemd-analyze verify the units, of which only the program's path differs from
// what an operator installs. It says so if a key is unknown.
func TestUnits(t *testing.T) {
	verify := func(service string) (string, error) {
		dir := t.TempDir()
		args := []string{"verify"}
		for name, text := range map[string]string{serviceUnit: service, socketUnit: sample(t, socketUnit)} {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			args = append(args, file)
		}
		out, err := exec.Command(program(t, "systemd-analyze"), args...).CombinedOutput()
		return string(out), err
	}
	installed := [2]string{"=/usr/local/bin/xoauth2-proxy serve", "=" + proxyBinary + " serve"}
	if out, err := verify(sample(t, serviceUnit, installed)); err != nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
	if out, _ := verify(sample(t, serviceUnit, installed, [2]string{"\nWatchdogSec=", "\nWatchdogSecs="})); !strings.Contains(out, "WatchdogSecs") {
		t.Errorf("nothing is said of an unknown key: %q", out)
	}
}

// setting returns what a unit sets.
func setting(t *testing.T, unit, key string) string {
	t.Helper()
	_, rest, ok := strings.Cut(sample(t, unit), "\n"+key+"=")
	value, _, ended := strings.Cut(rest, "\n")
	if !ok || !ended {
		t.Fatalf("%s has no %s", unit, key)
	}
	return value
}

// TestSocketActivation has systemd listen in place of the proxy, by the name in the socket unit:
// clients that connect before there is a proxy wait, and are served by the one that starts then.
// After an upgrade the next process serves at the same address.
func TestSocketActivation(t *testing.T) {
	const clients = 20
	dir := t.TempDir()
	box := provider.Start(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser)})
	t.Cleanup(func() { provider.NoViolations(t, box) })
	files, err := box.WriteProxyFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	name, addr := setting(t, socketUnit, "FileDescriptorName"), "127.0.0.1:"+freePort(t)
	edit(t, files.Config, func(root map[string]any) {
		root["listeners"] = []map[string]any{{"address": "systemd:" + name}}
		root["server"] = map[string]any{"evict_over": "1s"}
		root["admin"] = map[string]any{"address": "127.0.0.1:0", "socket": filepath.Join(dir, "admin.sock")}
	})

	queued := make(chan net.Conn, clients)
	go connectAll(t.Context(), addr, queued) // the proxy starts with the first of them
	p := &proxy{Program: testkit.StartProgram(t, exec.Command(program(t, "systemd-socket-activate"), "-l", addr, "--fdname", name,
		proxyBinary, "serve", "--config", files.Config, "--accounts", files.Accounts))}
	t.Cleanup(func() { p.finish(t) })
	p.addr, p.admin = p.Clients, p.Admin
	if p.addr != addr {
		t.Errorf("it listens on %s, not %s", p.addr, addr)
	}
	sent := 0
	deliver := func(conn net.Conn) {
		t.Helper()
		c, err := smtp.NewClient(conn, "localhost")
		if err == nil {
			err = c.Auth(smtp.PlainAuth("", gmailUser, clientPassword, "localhost"))
		}
		m := numbered(gmailUser, 0, sent)
		if err == nil {
			err = send(c, m)
		}
		if err != nil {
			t.Fatalf("message %d: %v", sent, err)
		}
		sent++
		_ = c.Close()
		provider.Messages(t, box, sent)
	}
	for range clients {
		deliver(testkit.Receive(t, "a client is connected", queued))
	}

	pid := successor(t, files)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // it has ended if all is well
	awaitEnd(t, p.Cmd.Process.Pid)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	deliver(conn)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	awaitEnd(t, pid)
	testkit.Receive(t, "the end of the log", p.Exited)
}

// connectAll connects as many clients as to has room for, from when there is a listener.
func connectAll(ctx context.Context, addr string, to chan<- net.Conn) {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for range cap(to) {
		conn, err := net.Dial("tcp", addr)
		for ; err != nil; conn, err = net.Dial("tcp", addr) {
			select {
			case <-ctx.Done():
				return
			case <-again.C:
			}
		}
		to <- conn
	}
}

// successor upgrades the proxy, and returns the process that accepts after it.
func successor(t *testing.T, files sandbox.ProxyFiles) (pid int) {
	t.Helper()
	out := mustRun(t, nil, proxyBinary, "upgrade", "--config", files.Config, "--accounts", files.Accounts)
	found := regexp.MustCompile(`^process (\d+), .* accepts in place of`).FindSubmatch(out.stdout)
	if found == nil {
		t.Fatal(out)
	}
	pid, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// awaitEnd waits for the end of a process, which its parent need not have asked for.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("process %d has ended", pid), func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(text), ") Z ")
	})
}
