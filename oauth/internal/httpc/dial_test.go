package httpc

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// connectProxy is an HTTP proxy on the loopback that wants user and password.
func connectProxy(t *testing.T, answer func(r *http.Request) string) (addr string, passed *atomic.Int32) {
	t.Helper()
	passed = new(atomic.Int32)
	addr = testkit.Serve(t, func(_ int, c net.Conn) {
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if a := answer(r); a != "" {
			_, _ = io.WriteString(c, a)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			return
		}
		passed.Add(1)
		_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = io.Copy(to, br)
			to.Close()
		})
		_, _ = io.Copy(c, to)
		c.Close()
		wg.Wait()
	})
	return addr, passed
}

func TestProxy(t *testing.T) {
	ts := tokentest.NewUnstartedServer(t)
	ts.StartTLS()
	caFile := tokentest.CAFile(t, ts)
	proxy, passed := connectProxy(t, func(r *http.Request) string {
		basic := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		user, password, _ := basic.BasicAuth()
		switch {
		case r.Method != http.MethodConnect || r.Header.Get("Authorization") != "":
			return "HTTP/1.1 400 Bad Request\r\n\r\n"
		case user == "nobody":
			return "HTTP/1.1 403 Forbidden\r\n\r\n"
		case user == "chatty":
			return "HTTP/1.1 200 OK\r\n\r\nand more"
		case user == "silent":
			return "\r\n"
		case user != "us er" || password != "p@ss":
			return "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
		}
		return ""
	})
	tests := []struct {
		name, proxy string
		want        error
	}{
		{"good", "http://us%20er:p%40ss@" + proxy, nil},
		{"wrong password", "http://x:y@" + proxy, ErrProxyAuth},
		{"no password", "http://" + proxy, ErrProxyAuth},
		{"refuses", "http://nobody:x@" + proxy, ErrProxy},
		{"speaks first", "http://chatty:x@" + proxy, ErrProxy},
		{"not HTTP", "http://silent:x@" + proxy, ErrProxy},
		{"not there", "http://127.0.0.1:1", ErrConnect},
		{"not TLS", "https://" + proxy, ErrConnect},
	}
	tr := testTransport(t, testConfig())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := WithRoute(t.Context(), Route{Proxy: account.NewSecret(tt.proxy), CAFile: caFile})
			_, err := post(ctx, tr, ts.URL)
			if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
		})
	}
	if n := passed.Load(); n != 1 {
		t.Errorf("%d connections through the proxy, want 1", n)
	}
}

// The proxy of the configuration is for requests without one; the loopback in the
// clear needs none.
func TestDefaultProxy(t *testing.T) {
	ts, secure := tokentest.NewServer(t), tokentest.NewUnstartedServer(t)
	secure.StartTLS()
	cfg := testConfig()
	cfg.Proxy = account.NewSecret("http://127.0.0.1:1")
	tr := testTransport(t, cfg)
	if _, err := post(t.Context(), tr, ts.URL); err != nil {
		t.Error(err)
	}
	if _, err := post(t.Context(), tr, secure.URL); !errors.Is(err, ErrConnect) || isUntrusted(err) || len(secure.Requests()) != 0 {
		t.Errorf("err = %v, want it to fail at the proxy", err)
	}
}

// What one route trusts, another does not, not even on a connection that is open
// already.
func TestCAFileOfRoute(t *testing.T) {
	ts := tokentest.NewUnstartedServer(t)
	ts.StartTLS()
	caFile := tokentest.CAFile(t, ts)
	tr := testTransport(t, testConfig())
	get := func(ca string) error {
		_, err := post(WithRoute(t.Context(), Route{CAFile: ca}), tr, ts.URL)
		return err
	}
	if err := get(caFile + ".none"); !isCAFile(err) {
		t.Errorf("file missing: %v", err)
	}
	if err := get(caFile); err != nil {
		t.Errorf("file there: %v", err)
	}
	if err := get(""); !isUntrusted(err) {
		t.Errorf("without: %v", err)
	}
}

// TestNoProxyOfAccount has a route without a proxy beside a configured one that is not
// there.
func TestNoProxyOfAccount(t *testing.T) {
	ts := tokentest.NewUnstartedServer(t)
	ts.StartTLS()
	cfg := testConfig()
	cfg.Proxy = account.NewSecret("http://127.0.0.1:1")
	tr := testTransport(t, cfg)
	for proxy, good := range map[string]bool{"": false, account.NoProxy: true} {
		ctx := WithRoute(t.Context(), Route{Proxy: account.NewSecret(proxy), CAFile: tokentest.CAFile(t, ts)})
		if _, err := post(ctx, tr, ts.URL); (err == nil) != good {
			t.Errorf("proxy %q: %v", proxy, err)
		}
	}
	if err := CheckProxy(account.NewSecret(account.NoProxy)); err != nil {
		t.Error(err)
	}
}
