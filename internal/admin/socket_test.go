package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/testkit"
)

// asPeer has the test binary connect to the socket that it names, and print the
// answer to GET /admin/accounts.
const asPeer = "ADMIN_TEST_PEER_OF"

func TestMain(m *testing.M) {
	if path := os.Getenv(asPeer); path != "" {
		c, err := net.Dial("unix", path)
		if err != nil {
			fmt.Println("dial:", bareError(err))
			return
		}
		_, _ = io.WriteString(c, "GET /admin/accounts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		_, _ = io.Copy(os.Stdout, c)
		return
	}
	goleak.VerifyTestMain(m)
}

// peerAnswer is what a process of that user gets from the socket.
func peerAnswer(t *testing.T, uid uint32, path string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe") // the directory of the test may be closed to others
	cmd.Env, cmd.Dir = []string{asPeer + "=" + path}, "/"
	if int(uid) != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// socketConfig is testConfig with a socket in a directory that every user can
// reach.
func socketConfig(t *testing.T) Config {
	t.Helper()
	cfg := testConfig()
	cfg.Sockets = []string{socketIn(t)}
	if err := os.Chmod(filepath.Dir(cfg.Sockets[0]), 0o755); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestSocketPeers asks over the socket as its owner and, where the test may be
// another user, as one who must not.
func TestSocketPeers(t *testing.T) {
	cfg := socketConfig(t)
	s := newServer(t, cfg, nil)
	s.HandleAPI(new(fakeAPI))
	start(t, s)
	path := cfg.Sockets[0]
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 || s.SocketPath() != path {
		t.Fatalf("%v, %v, at %q", info.Mode(), err, s.SocketPath())
	}
	if got := peerAnswer(t, uint32(os.Geteuid()), path); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("the owner gets %q", got)
	}
	if os.Geteuid() == 0 {
		const nobody = 65534
		if got := peerAnswer(t, nobody, path); got != "dial: permission denied\n" {
			t.Errorf("another user gets %q", got)
		}
		if err := os.Chmod(path, 0o666); err != nil { // it is not the mode alone
			t.Fatal(err)
		}
		if got := peerAnswer(t, nobody, path); !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.Contains(got, "serves root and uid 0, the request is uid 65534's") {
			t.Errorf("another user, past the mode, gets %q", got)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// closedDir is a directory that nothing can be made in, by this user.
func closedDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return "/proc"
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSocketCannotBeMade has places where no socket can be. One that was named is
// an error, and others are passed over, and logged when none is left.
func TestSocketCannotBeMade(t *testing.T) {
	dir := filepath.Dir(socketIn(t))
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ path, says string }{
		"missing directory":   {dir + "/none/admin.sock", "no such file or directory"},
		"no directory":        {file + "/admin.sock", "not a directory"},
		"too long":            {dir + "/" + strings.Repeat("n", 108-len(dir)-1), "has at most 107 octets, this one has 108"},
		"a file":              {file, "which is no socket"},
		"a link":              {link, "which is no socket"},
		"read-only directory": {closedDir(t) + "/admin.sock", ""},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.ErrorLevel)
			cfg := testConfig()
			cfg.Sockets, cfg.SocketNeeded = []string{tt.path}, true
			s := newServer(t, cfg, nil)
			err := s.Start()
			if err == nil || !strings.HasPrefix(err.Error(), "admin: admin.socket: "+tt.path+": ") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("named: %v", err)
			}
			second := socketIn(t)
			cfg.Sockets, cfg.SocketNeeded = []string{tt.path, second}, false
			s = newServer(t, cfg, nil)
			start(t, s)
			if s.SocketPath() != second {
				t.Errorf("the second place is not used: %q", s.SocketPath())
			}
			cfg.Sockets = []string{tt.path}
			if s, err = New(cfg, zap.New(core), nil); err != nil {
				t.Fatal(err)
			}
			s.HandleAPI(new(fakeAPI))
			url := start(t, s)
			if n := logs.FilterMessageSnippet("cannot make the admin socket").Len(); n != 1 || s.SocketPath() != "" {
				t.Errorf("%d lines say that there is none, at %q", n, s.SocketPath())
			}
			resp, body := do(t, "POST", url+"/admin/reload", "")
			if resp.StatusCode != 401 || !strings.Contains(body, "and there is none: set admin.token") {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	if got, err := os.ReadFile(file); err != nil || len(got) != 0 {
		t.Errorf("the file is %q, %v", got, err)
	}
}

// TestLongestPath has a path of exactly as many octets as there may be.
func TestLongestPath(t *testing.T) {
	dir := filepath.Dir(socketIn(t))
	cfg := testConfig()
	cfg.Sockets, cfg.SocketNeeded = []string{dir + "/" + strings.Repeat("n", 107-len(dir)-1)}, true
	start(t, newServer(t, cfg, nil))
}

// TestSocketOfTheDead replaces the socket of a killed process, and leaves the
// socket of a living one alone.
func TestSocketOfTheDead(t *testing.T) {
	cfg := socketConfig(t)
	path := cfg.Sockets[0]
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := newServer(t, cfg, nil).Start(); !errors.Is(err, ErrSocketInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("beside a living one: %v", err)
	}
	cfg.Sockets = append([]string{path}, socketIn(t)) // not a reason to use another place
	if err := newServer(t, cfg, nil).Start(); !errors.Is(err, ErrSocketInUse) {
		t.Errorf("beside a living one, with another place left: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the living one's is gone: %v", err)
	} else {
		_ = c.Close()
	}
	_ = ln.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, cfg, nil)
	start(t, s)
	if s.SocketPath() != path {
		t.Errorf("the dead one's place is not used: %q", s.SocketPath())
	}
	if resp, body := do(t, "GET", "socket:"+path+"/health", ""); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// TestStartsTogether has many servers begin at once where a dead one's socket is:
// one gets it, and the others find it in use.
func TestStartsTogether(t *testing.T) {
	const rounds, n = 20, 8
	for range rounds {
		cfg := socketConfig(t)
		ln, err := net.Listen("unix", cfg.Sockets[0])
		if err != nil {
			t.Fatal(err)
		}
		ln.(*net.UnixListener).SetUnlinkOnClose(false)
		_ = ln.Close()
		errs, begin := make(chan error, n), make(chan struct{})
		for range n {
			s := newServer(t, cfg, nil)
			t.Cleanup(func() { _ = s.Close(context.Background()) })
			go func() { <-begin; errs <- s.Start() }()
		}
		close(begin)
		started := 0
		for range n {
			err := <-errs
			if err == nil {
				started++
			} else if !errors.Is(err, ErrSocketInUse) {
				t.Error(err)
			}
		}
		if started != 1 {
			t.Fatalf("%d servers have the socket", started)
		}
	}
}

// TestListenersFillApart fills one listener; the other one serves.
func TestListenersFillApart(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		cfg := socketConfig(t)
		cfg.MaxConnections = 2
		s := newServer(t, cfg, nil)
		inside, release := make(chan struct{}), make(chan struct{})
		s.Handle("GET", "/wait", func(*fasthttp.RequestCtx) { inside <- struct{}{}; <-release })
		url, other := start(t, s), "socket:"+cfg.Sockets[0]
		full := s.Addr().String()
		if network == "unix" {
			full, url, other = cfg.Sockets[0], other, url
		}
		for range cfg.MaxConnections {
			c, err := net.Dial(network, full)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			<-inside
		}
		c, err := net.Dial(network, full)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got, _ := io.ReadAll(c); len(got) != 0 {
			t.Errorf("%s: one more got %q", network, got)
		}
		if resp, body := do(t, "GET", other+"/health", ""); resp.StatusCode != 200 {
			t.Errorf("%s is full, the other one: %d %s", network, resp.StatusCode, body)
		}
		close(release)
	}
}

// TestChangesNeedTheSocket sends every request that is served, without a token.
// On the address what only reads is answered, and all else is 401 and has no
// effect; on the socket all is served. With a token set, the socket asks for none
// and the address does, whatever the request.
func TestChangesNeedTheSocket(t *testing.T) {
	bodies := map[string]string{
		"POST /admin/accounts": newJSON("new@a.test"), "POST /admin/accounts/batch": "[" + newJSON("new@a.test") + "]",
		"POST /admin/accounts/verify": `{"email": "dead@a.test"}`, "PUT /admin/log/level": `{"level": "debug"}`,
	}
	for _, token := range []string{"", testToken} {
		cfg := socketConfig(t)
		cfg.Token, cfg.Pprof = token, true
		core, logs := observer.New(zap.InfoLevel)
		s, err := New(cfg, zap.New(core), nil)
		if err != nil {
			t.Fatal(err)
		}
		f := &fakeAPI{level: "info", accounts: []Account{{AccountID: "id", Email: "dead@a.test"}}}
		s.HandleAPI(f)
		address, socket := start(t, s), "socket:"+cfg.Sockets[0]
		changing := 0
		for _, r := range s.router.routes {
			for method := range r.handlers {
				if strings.HasPrefix(r.pattern, "/debug/") {
					continue
				}
				path := strings.ReplaceAll(r.pattern, "{email}", "dead@a.test")
				read := method == http.MethodGet
				for _, query := range []string{"?confirm=true&dry_run=true", "?confirm=true"} {
					resp, body := do(t, method, address+path+query, bodies[method+" "+r.pattern])
					want401 := strings.HasPrefix(path, "/admin") && (token != "" || !read)
					if want401 != (resp.StatusCode == 401) {
						t.Errorf("token %q: %s %s: %d %s", token, method, path, resp.StatusCode, body)
					}
					if want401 && token == "" && !strings.Contains(body, "curl --unix-socket "+cfg.Sockets[0]+", or set admin.token") {
						t.Errorf("%s %s: no remedy in %s", method, path, body)
					}
				}
				if strings.HasPrefix(path, "/admin") && !read {
					changing++
				}
			}
		}
		if changing < 11 || len(f.saved) > 0 || f.verified > 0 || len(f.Accounts()) != 1 || f.level != "info" {
			t.Errorf("token %q: of %d requests some had an effect: %+v", token, changing, f)
		}
		if n := logs.FilterMessageSnippet("verified").Len(); n > 0 {
			t.Errorf("%d verifications are logged", n)
		}
		for route, body := range bodies {
			method, path, _ := strings.Cut(route, " ")
			if resp, text := do(t, method, socket+path+"?dry_run=true", body); resp.StatusCode != 200 {
				t.Errorf("token %q: %s on the socket: %d %s", token, route, resp.StatusCode, text)
			}
		}
		by := fmt.Sprintf("uid %d", os.Geteuid())
		for _, e := range logs.FilterMessage("account verified by the admin API").All() {
			if got := e.ContextMap(); got["by"] != by || got["email"] != "new@a.test" && got["email"] != "dead@a.test" {
				t.Errorf("logged: %v", got)
			}
		}
		if n := logs.FilterMessage("account verified by the admin API").Len(); n != 3 {
			t.Errorf("%d verifications are logged, want 3", n)
		}
	}
}

// TestVerificationsByAddressAreLogged has a client with the token.
func TestVerificationsByAddressAreLogged(t *testing.T) {
	cfg := testConfig()
	cfg.Token = testToken
	core, logs := observer.New(zap.InfoLevel)
	s, err := New(cfg, zap.New(core), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.HandleAPI(&fakeAPI{accounts: []Account{{Email: "dead1@a.test"}, {Email: "good@a.test"}}})
	url := start(t, s)
	resp, _ := testkit.Ask(t, nil, "DELETE", url+"/admin/accounts/invalid?dry_run=true", "", "Authorization", "Bearer "+testToken)
	all := logs.FilterMessage("account verified by the admin API").All()
	if resp.StatusCode != 200 || len(all) != 2 {
		t.Fatalf("%d, %d lines", resp.StatusCode, len(all))
	}
	for i, want := range []map[string]any{{"email": "dead1@a.test", "works": false}, {"email": "good@a.test", "works": true}} {
		got := all[i].ContextMap()
		if by, _ := got["by"].(string); got["email"] != want["email"] || got["works"] != want["works"] || !strings.HasPrefix(by, "127.0.0.1:") {
			t.Errorf("logged: %v", got)
		}
	}
}
