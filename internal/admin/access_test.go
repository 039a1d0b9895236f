package admin

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// ask sends a request with that Host and further header lines to the address, and
// returns the status of the answer.
func ask(t *testing.T, s *Server, line, host string, header ...string) (status int) {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head := append([]string{line, "Host: " + host, "Connection: close"}, header...)
	if _, err := io.WriteString(c, strings.Join(head, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(answer), "HTTP/1.1 %d ", &status); err != nil {
		t.Fatalf("%q", answer)
	}
	return status
}

// TestHost has requests as a browser sends them whose page's own name resolves to a
// loopback address by now (DNS rebinding). Without a token they read nothing; what
// monitoring reads is served for any host; with the token no host and no Origin matters.
func TestHost(t *testing.T) {
	ours := []string{"localhost", "LOCALHOST:9090", "localhost.", "127.0.0.1", "127.0.0.1:9090", "127.8.9.1", "[::1]", "[::1]:9090", "[::ffff:127.0.0.1]:1",
		"admin.example", "Admin.Example:9090", "admin.example."}
	theirs := []string{"evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example", "evil.localhost", "192.0.2.1", "[2001:db8::1]:9090",
		"0.0.0.0", "admin.example.evil", "127.1"}
	for _, token := range []string{"", testToken} {
		cfg := testConfig()
		cfg.Token, cfg.Pprof, cfg.Hosts = token, true, []string{"admin.example"}
		s := newServer(t, cfg, nil)
		s.HandleAPI(&fakeAPI{})
		start(t, s)
		for i, host := range append(ours, theirs...) {
			want := 200
			switch {
			case token != "":
				want = 401
			case i >= len(ours):
				want = 403
			}
			for _, path := range []string{"/admin/accounts", "/admin/info", "/debug/pprof/"} {
				if got := ask(t, s, "GET "+path+" HTTP/1.1", host); got != want {
					t.Errorf("token %q: %s at host %q: %d, want %d", token, path, host, got, want)
				}
			}
			for _, path := range []string{"/health", "/ready", "/metrics"} {
				if got := ask(t, s, "GET "+path+" HTTP/1.1", host); got != 200 {
					t.Errorf("token %q: %s at host %q: %d", token, path, host, got)
				}
			}
			if token == "" {
				continue
			}
			for _, more := range []string{"X: y", "Origin: https://evil.example"} {
				if got := ask(t, s, "GET /admin/accounts HTTP/1.1", host, "Authorization: Bearer "+token, more); got != 200 {
					t.Errorf("with the token and %q at host %q: %d", more, host, got)
				}
			}
		}
		if got := ask(t, s, "GET /admin/accounts HTTP/1.1", "localhost", "Origin: http://localhost"); got != 403 {
			t.Errorf("token %q: a web page without it: %d", token, got)
		}
		if got := ask(t, s, "GET http://evil.example/admin/accounts HTTP/1.1", "localhost"); got == 200 {
			t.Errorf("token %q: another host in the request line: %d", token, got)
		}
	}
}

// TestIdleConnectionsMakeRoom fills the address with connections that send nothing, a
// part of a request, or no more after an answer: a probe is served all the same, again
// and again, and the connection that has been idle for longest is closed for it. A
// connection with a request that runs is not.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	const most = 8
	for name, first := range map[string]string{"silent": "", "part of a request": "GET /health HT", "answered": "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.MaxConnections = most
			s := newServer(t, cfg, nil)
			inside, release := make(chan struct{}), make(chan struct{})
			s.Handle("GET", "/wait", func(*fasthttp.RequestCtx) { close(inside); <-release })
			start(t, s)
			dial := func(text string) net.Conn {
				c, err := net.Dial("tcp", s.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
				if _, err := io.WriteString(c, text); err != nil {
					t.Fatal(err)
				}
				return c
			}
			busy := dial("GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			<-inside
			var idle []net.Conn
			for range most - 1 {
				c := dial(first)
				if strings.HasSuffix(first, "\r\n\r\n") {
					if _, err := io.ReadFull(c, make([]byte, 12)); err != nil {
						t.Fatal(err)
					}
				}
				idle = append(idle, c)
			}
			for range 3 * most {
				if got := ask(t, s, "GET /health HTTP/1.1", "a"); got != 200 {
					t.Fatalf("a probe: %d", got)
				}
			}
			if _, err := io.Copy(io.Discard, idle[0]); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Error(err)
			}
			close(release)
			if got, err := io.ReadAll(busy); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200") {
				t.Errorf("the request that ran: %q, %v", got, err)
			}
		})
	}
}

// TestIndex asks for what the server has.
func TestIndex(t *testing.T) {
	s := newServer(t, testConfig(), nil)
	s.HandleAPI(&fakeAPI{})
	resp, body := do(t, "GET", start(t, s)+"/", "")
	if resp.StatusCode != 200 || !strings.Contains(body, "GET    /health\n") || !strings.Contains(body, "DELETE /admin/accounts/{email}\n") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
