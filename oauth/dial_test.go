package oauth

import (
	"bufio"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"xoauth2-proxy/internal/account"
)

// connectProxy is an HTTP proxy on the loopback that wants user and password.
func connectProxy(t *testing.T, answer func(r *http.Request) string) (addr string, passed *atomic.Int32) {
	t.Helper()
	passed = new(atomic.Int32)
	addr = rawServer(t, func(_ int, c net.Conn) {
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
	ts := newUnstartedTokenServer(t)
	ts.StartTLS()
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
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
		{"wrong password", "http://x:y@" + proxy, errProxyAuth},
		{"no password", "http://" + proxy, errProxyAuth},
		{"refuses", "http://nobody:x@" + proxy, errProxy},
		{"speaks first", "http://chatty:x@" + proxy, errProxy},
		{"not HTTP", "http://silent:x@" + proxy, errProxy},
		{"not there", "http://127.0.0.1:1", ErrUnavailable},
		{"not TLS", "https://" + proxy, ErrUnavailable},
	}
	m := testManager(t, testConfig())
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := accountLike(testAccount(ts.URL), func(a *account.Account) {
				a.ID = fmt.Sprint("acct", i)
				a.TokenCAFile, a.TokenProxy = caFile, account.NewSecret(tt.proxy)
			})
			_, err := m.Source(a).Get(t.Context())
			if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
		})
	}
	if n := passed.Load(); n != 1 {
		t.Errorf("%d connections through the proxy, want 1", n)
	}
}

// The proxy of the configuration is that of accounts without one; the loopback
// in the clear needs none.
func TestDefaultProxy(t *testing.T) {
	ts := newTokenServer(t)
	cfg := testConfig()
	cfg.Proxy = account.NewSecret("http://127.0.0.1:1")
	m := testManager(t, cfg)
	mustGet(t, m.Source(testAccount(ts.URL)))
	secure := newUnstartedTokenServer(t)
	secure.StartTLS()
	a := accountLike(testAccount(secure.URL), func(a *account.Account) { a.ID = "acct2" })
	if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrUnavailable) || len(secure.requests()) != 0 {
		t.Errorf("err = %v, want it to fail at the proxy", err)
	}
	cfg.Proxy = account.NewSecret("ftp://example.com")
	if err := cfg.Validate(); err == nil {
		t.Error("a proxy that is none was taken")
	}
}

// What one account trusts, another does not, not even on a connection that is
// open already.
func TestCAFileOfAccount(t *testing.T) {
	ts := newUnstartedTokenServer(t)
	ts.StartTLS()
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	m := testManager(t, testConfig())
	get := func(id, ca string) error {
		_, err := m.Source(accountLike(testAccount(ts.URL), func(a *account.Account) { a.ID, a.TokenCAFile = id, ca })).Get(t.Context())
		return err
	}
	if err := get("missing", caFile); !errors.Is(err, errCAFile) {
		t.Errorf("file missing: %v", err)
	}
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := get("trusts", caFile); err != nil {
		t.Errorf("file there: %v", err)
	}
	if err := get("does not", ""); !errors.Is(err, errUntrusted) {
		t.Errorf("without: %v", err)
	}
}
