package oauth

import (
	"encoding/json"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"xoauth2-proxy/internal/account"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tokenServer is a token endpoint on the loopback whose answers are scripted.
type tokenServer struct {
	*httptest.Server
	mu     sync.Mutex
	forms  []url.Values
	answer http.HandlerFunc // nil: a new token
}

func newTokenServer(t *testing.T) *tokenServer {
	ts := newUnstartedTokenServer(t)
	ts.Start()
	return ts
}

func newUnstartedTokenServer(t *testing.T) *tokenServer {
	ts := new(tokenServer)
	ts.Server = httptest.NewUnstartedServer(ts)
	ts.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are meant
	t.Cleanup(func() {
		if ts.URL != "" {
			ts.Close()
		}
	})
	return ts
}

func (ts *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	ts.mu.Lock()
	ts.forms = append(ts.forms, form)
	n, answer := len(ts.forms), ts.answer
	ts.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	giveToken(w, map[string]any{"access_token": "access-" + string(rune('0'+n))})
}

// setAnswer scripts what follows.
func (ts *tokenServer) setAnswer(h http.HandlerFunc) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.answer = h
}

// requests returns the forms posted so far.
func (ts *tokenServer) requests() []url.Values {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return append([]url.Values(nil), ts.forms...)
}

func giveToken(w http.ResponseWriter, fields map[string]any) {
	reply := map[string]any{"token_type": "Bearer", "expires_in": 3600}
	maps.Copy(reply, fields)
	giveJSON(w, http.StatusOK, reply)
}

func giveJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func giveError(status int, code, description string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		giveJSON(w, status, map[string]string{"error": code, "error_description": description})
	}
}

// testAccount is an account of the token endpoint at u.
func testAccount(u string) *account.Account {
	return &account.Account{
		ID:           "acct1",
		Email:        "user@example.com",
		ClientID:     "client-1",
		TokenURL:     u + "/token",
		RefreshToken: account.NewSecret("refresh-configured"),
	}
}

func snapshot(t *testing.T, accounts ...*account.Account) *account.Snapshot {
	t.Helper()
	s, err := account.NewSnapshot(accounts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Timeout = 5 * time.Second
	return cfg
}

func testManager(t *testing.T, cfg Config) *Manager {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	m := New(cfg, nil, nil)
	t.Cleanup(m.Close)
	return m
}

// rawServer runs handle for each connection to a loopback port.
func rawServer(t *testing.T, handle func(n int, c net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				handle(n, c)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

const httpToken = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 61\r\n\r\n" +
	`{"access_token":"A1","token_type":"Bearer","expires_in":3600}`

func init() {
	if i := strings.Index(httpToken, "{"); len(httpToken)-i != 61 {
		panic("httpToken: wrong Content-Length")
	}
}
