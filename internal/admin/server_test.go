package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/testkit"
)

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Address = "127.0.0.1:0"
	return cfg
}

// start starts s and returns its URL.
func start(t *testing.T, s *Server) string {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

func newServer(t *testing.T, cfg Config, notReady func() []string, sets ...*metrics.Set) *Server {
	t.Helper()
	s, err := New(cfg, nil, notReady, sets...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// socketIn is a path for a socket, short enough whatever the name of the test.
func socketIn(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "admin.sock")
}

// do sends a request on a connection of its own. A URL that begins with
// "socket:" names a socket, which ends in ".sock".
func do(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	var tr *http.Transport
	if rest, ok := strings.CutPrefix(url, "socket:"); ok {
		path, at, _ := strings.Cut(rest, ".sock")
		url, tr = "http://admin.socket"+at, testkit.OverSocket(path+".sock")
	}
	return testkit.Ask(t, tr, method, url, body)
}

func TestRoutes(t *testing.T) {
	const (
		notFound   = `{"success":false,"error":"not found"}` + "\n"
		badMethod  = `{"success":false,"error":"method not allowed"}` + "\n"
		healthText = `{"status":"healthy","service":"xoauth2-proxy-admin"}` + "\n"
	)
	tests := []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/health", 200, healthText},
		{"GET", "/health?verbose=1", 200, healthText},
		{"HEAD", "/health", 200, ""},
		{"GET", "/ready", 200, `{"status":"ready"}` + "\n"},
		{"POST", "/health", 405, badMethod},
		{"DELETE", "/metrics", 405, badMethod},
		{"PUT", "/ready", 405, badMethod},
		{"GET", "/health/", 404, notFound},
		{"GET", "/Health", 404, notFound},
		{"POST", "/nothing", 404, notFound},
		{"GET", "/debug/pprof/", 404, notFound},
		{"GET", "/debug/pprof/heap", 404, notFound},
		{"GET", "/debug/pprof/cmdline", 404, notFound},
	}
	url := start(t, newServer(t, testConfig(), nil))
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			resp, body := do(t, tt.method, url+tt.path, "")
			if resp.StatusCode != tt.status || body != tt.body {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, body, tt.status, tt.body)
			}
			if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type %q", ct)
			}
			if allow := resp.Header.Get("Allow"); (allow == "GET") != (tt.status == 405) {
				t.Errorf("Allow %q", allow)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	metrics.GetOrCreateCounter("admin_test_default_total").Set(1)
	one, two := metrics.NewSet(), metrics.NewSet()
	one.NewCounter("admin_test_one_total").Add(1)
	two.NewCounter(`admin_test_two_total{result="success"}`).Add(2)
	cfg := testConfig()
	cfg.Version, cfg.Revision = `1.0"quoted\`, "abc"
	resp, body := do(t, "GET", start(t, newServer(t, cfg, nil, one, two))+"/metrics", "")
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("status %d, Content-Type %q", resp.StatusCode, ct)
	}
	for _, want := range []string{
		`xoauth2_proxy_build_info{version="1.0\"quoted\\",revision="abc",go_version="go1.`,
		"admin_test_default_total 1\n", "admin_test_one_total 1\n", `admin_test_two_total{result="success"} 2` + "\n",
		"\nprocess_cpu_seconds_total ", "\ngo_goroutines ", "# TYPE admin_test_one_total counter\n",
	} {
		if strings.Count(body, want) != 1 {
			t.Errorf("%q is there %d times", want, strings.Count(body, want))
		}
	}
}

func TestNotReady(t *testing.T) {
	resp, body := do(t, "GET", start(t, newServer(t, testConfig(), func() []string {
		return []string{"draining", "no accounts"}
	}))+"/ready", "")
	if want := `{"status":"not ready","reasons":["draining","no accounts"]}` + "\n"; resp.StatusCode != 503 || body != want {
		t.Errorf("%d %q, want 503 %q", resp.StatusCode, body, want)
	}
}

func TestPprof(t *testing.T) {
	cfg := testConfig()
	cfg.Pprof = true
	url := start(t, newServer(t, cfg, nil)) + "/debug/pprof/"
	for path, want := range map[string]string{
		"": "goroutine", "goroutine?debug=1": "goroutine profile:", "cmdline": "admin.test",
		"heap": "\x1f\x8b", "profile?seconds=1": "\x1f\x8b",
	} {
		if resp, body := do(t, "GET", url+path, ""); resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, %d octets", path, resp.StatusCode, len(body))
		}
	}
	if resp, _ := do(t, "GET", url+"nothing", ""); resp.StatusCode != 404 {
		t.Errorf("unknown profile: %d", resp.StatusCode)
	}
	if resp, _ := do(t, "POST", url+"symbol", "0x1"); resp.StatusCode != 200 {
		t.Errorf("symbol: %d", resp.StatusCode)
	}
	if resp, _ := do(t, "POST", url+"heap", ""); resp.StatusCode != 405 {
		t.Errorf("POST to a profile: %d", resp.StatusCode)
	}
}

func TestHandle(t *testing.T) {
	cfg := testConfig()
	cfg.Sockets = []string{socketIn(t)}
	s := newServer(t, cfg, nil)
	reply := func(text string) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			out := text + string(ctx.PostBody())
			if v, ok := ctx.UserValue("email").(string); ok {
				out += " " + v
			}
			WriteJSON(ctx, 200, out)
		}
	}
	s.Handle("DELETE", "/admin/accounts/{email}", reply("one")) // before the literal one
	s.Handle("DELETE", "/admin/accounts/invalid", reply("invalid"))
	s.Handle("GET", "/admin/accounts", reply("list"))
	s.Handle("POST", "/admin/accounts", reply("add"))
	s.Handle("GET", "/files/{email...}", reply("rest"))
	start(t, s)
	url := "socket:" + s.SocketPath()
	tests := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"DELETE", "/admin/accounts/invalid", "", 200, "\"invalid\"\n"},
		{"DELETE", "/admin/accounts/user%40example.com", "", 200, "\"one user@example.com\"\n"},
		{"DELETE", "/admin/accounts/", "", 404, "{\"success\":false,\"error\":\"not found\"}\n"},
		{"DELETE", "/admin/accounts/a/b", "", 404, "{\"success\":false,\"error\":\"not found\"}\n"},
		{"GET", "/admin/accounts", "", 200, "\"list\"\n"},
		{"POST", "/admin/accounts", "!", 200, "\"add!\"\n"},
		{"PUT", "/admin/accounts", "", 405, "{\"success\":false,\"error\":\"method not allowed\"}\n"},
		{"GET", "/files/a/b", "", 200, "\"rest a/b\"\n"},
		{"GET", "/files/", "", 200, "\"rest \"\n"},
		{"GET", "/files", "", 404, "{\"success\":false,\"error\":\"not found\"}\n"},
	}
	for _, tt := range tests {
		resp, body := do(t, tt.method, url+tt.path, tt.body)
		if resp.StatusCode != tt.status || body != tt.want {
			t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.path, resp.StatusCode, body, tt.status, tt.want)
		}
	}
	if resp, _ := do(t, "PATCH", url+"/admin/accounts", ""); resp.Header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %q", resp.Header.Get("Allow"))
	}
}

func TestHandlePanicsOnMistakes(t *testing.T) {
	for _, pattern := range []string{"", "x", "/{", "/{}", "/{a", "/{a...}/b", "/health"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", pattern)
				}
			}()
			newServer(t, testConfig(), nil).Handle("GET", pattern, func(*fasthttp.RequestCtx) {})
		}()
	}
}

// A handler's fault is one reply, and what it was about stays inside.
func TestHandlerPanics(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	s, err := New(testConfig(), zap.New(core), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("GET", "/panic", func(*fasthttp.RequestCtx) { panic("the-secret") })
	url := start(t, s)
	resp, body := do(t, "GET", url+"/panic", "")
	if want := `{"success":false,"error":"internal error"}` + "\n"; resp.StatusCode != 500 || body != want {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if resp, _ := do(t, "GET", url+"/health", ""); resp.StatusCode != 200 {
		t.Errorf("after it: %d", resp.StatusCode)
	}
	entries := logs.FilterMessage("admin handler panicked").All()
	if len(entries) != 1 {
		t.Fatalf("%d log lines, want 1", len(entries))
	}
	for _, f := range entries[0].Context {
		if strings.Contains(f.String, "the-secret") {
			t.Errorf("the value is logged in %s", f.Key)
		}
	}
}

func TestRequestLimits(t *testing.T) {
	cfg := testConfig()
	cfg.MaxBody = 100
	cfg.ReadTimeout = 100 * time.Millisecond
	url := start(t, newServer(t, cfg, nil))
	tests := []struct {
		name, request string
		status        string
		message       string
	}{
		{"body", "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n" + strings.Repeat("x", 101), "413", "request body too large"},
		{"header", "GET /health HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", maxHeader) + "\r\n\r\n", "431", "request header too large"},
		{"garbage", "EHLO client.example.com\r\n\r\n", "400", "malformed request"},
		{"slow", "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx", "408", "request timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, tt.request); err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(c) // ends in a reset when the request was not read whole
			if !strings.HasPrefix(string(got), "HTTP/1.1 "+tt.status+" ") || !strings.Contains(string(got), `{"success":false,"error":"`+tt.message+`"}`) {
				t.Errorf("reply %q", got)
			}
		})
	}
}

func TestMaxConnections(t *testing.T) {
	cfg := testConfig()
	cfg.MaxConnections = 1
	s := newServer(t, cfg, nil)
	inside, release := make(chan struct{}), make(chan struct{})
	s.Handle("GET", "/wait", func(*fasthttp.RequestCtx) { close(inside); <-release })
	url := start(t, s)
	first := make(chan int)
	go func() {
		resp, _ := do(t, "GET", url+"/wait", "")
		first <- resp.StatusCode
	}()
	<-inside
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, _ := io.ReadAll(c); len(got) != 0 {
		t.Errorf("one more got %q, want to be closed at once", got)
	}
	close(release)
	if status := <-first; status != 200 {
		t.Errorf("first: %d", status)
	}
}

// Close lets a running request finish, closes idle connections at once and
// refuses new ones.
func TestCloseIsGraceful(t *testing.T) {
	s := newServer(t, testConfig(), nil)
	inside, release := make(chan struct{}), make(chan struct{})
	s.Handle("GET", "/wait", func(*fasthttp.RequestCtx) { close(inside); <-release })
	url := start(t, s)
	idle, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	running, closed := make(chan int), make(chan error)
	go func() {
		resp, _ := do(t, "GET", url+"/wait", "")
		running <- resp.StatusCode
	}()
	<-inside
	go func() { closed <- s.Close(context.Background()) }()
	_, _ = io.ReadAll(idle) // returns when the server has closed it
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("a new connection was accepted")
	}
	close(release)
	if status := <-running; status != 200 {
		t.Errorf("running request: %d", status)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestCloseCutsOff(t *testing.T) {
	s := newServer(t, testConfig(), nil)
	inside, release := make(chan struct{}), make(chan struct{})
	s.Handle("GET", "/wait", func(*fasthttp.RequestCtx) { close(inside); <-release })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	if got, _ := io.ReadAll(c); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	close(release)
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestStart(t *testing.T) {
	s := newServer(t, testConfig(), nil)
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close before Start: %v", err)
	}
	start(t, s)
	cfg := testConfig()
	cfg.Address = s.Addr().String()
	if err := newServer(t, cfg, nil).Start(); err == nil || !strings.HasPrefix(err.Error(), "admin: listen tcp4 127.0.0.1:") {
		t.Errorf("address in use: %v", err)
	}
	cfg.Address = "0.0.0.0:0"
	if err := newServer(t, cfg, nil).Start(); !errors.Is(err, ErrNoToken) {
		t.Errorf("beyond the loopback without a token: %v", err)
	}
	cfg.Token = testToken
	wide := newServer(t, cfg, nil)
	start(t, wide)
	cfg.Address = fmt.Sprintf("[::]:%d", wide.Addr().(*net.TCPAddr).Port) // 0.0.0.0 takes IPv4 only
	other := newServer(t, cfg, nil)
	if err := other.Start(); errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Skip("NOT TESTED: this machine has no IPv6")
	} else if err != nil {
		t.Fatalf("[::] beside 0.0.0.0: %v", err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	tests := []struct {
		want string
		set  func(*Config)
	}{
		{`admin.address: "9090" is not host:port`, func(c *Config) { c.Address = "9090" }},
		{`admin.address: "http" is not a port`, func(c *Config) { c.Address = "127.0.0.1:http" }},
		{`admin.token: is shorter than 16 octets`, func(c *Config) { c.Token = "canary" }},
		{`admin.max_body: must be positive`, func(c *Config) { c.MaxBody = 0 }},
		{`admin.max_connections: must be positive`, func(c *Config) { c.MaxConnections = -1 }},
		{"admin.read_timeout: must be positive\nadmin.write_timeout: must be positive\nadmin.idle_timeout: must be positive",
			func(c *Config) { c.ReadTimeout, c.WriteTimeout, c.IdleTimeout = 0, 0, 0 }},
	}
	for _, tt := range tests {
		c := DefaultConfig()
		tt.set(&c)
		if err := c.Validate(); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
		if _, err := New(c, nil, nil); err == nil {
			t.Errorf("New takes what Validate refuses: %s", tt.want)
		}
	}
}
