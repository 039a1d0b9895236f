// Package tokentest has what the tests of oauth and its rooms share: token
// endpoints that answer by script, accounts, keys and ways to write an answer.
package tokentest

import (
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// Server is a token endpoint on the loopback whose answers are scripted.
type Server struct {
	*httptest.Server
	mu     sync.Mutex
	forms  []url.Values
	answer http.HandlerFunc // nil: a new token
}

// NewServer starts an endpoint over HTTP that gives tokens "access-1" and so on.
func NewServer(t *testing.T) *Server {
	ts := NewUnstartedServer(t)
	ts.Start()
	return ts
}

// NewUnstartedServer is NewServer for a test that starts it over TLS.
func NewUnstartedServer(t *testing.T) *Server {
	ts := new(Server)
	ts.Server = httptest.NewUnstartedServer(ts)
	ts.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are meant
	t.Cleanup(func() {
		if ts.URL != "" {
			ts.Close()
		}
	})
	return ts
}

// ServeHTTP implements http.Handler.
func (ts *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	GiveToken(w, map[string]any{"access_token": "access-" + string(rune('0'+n))})
}

// SetAnswer scripts what follows.
func (ts *Server) SetAnswer(h http.HandlerFunc) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.answer = h
}

// Requests returns the forms posted so far.
func (ts *Server) Requests() []url.Values {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return append([]url.Values(nil), ts.forms...)
}

// GiveToken answers with a token; fields replace and add to the usual ones.
func GiveToken(w http.ResponseWriter, fields map[string]any) {
	reply := map[string]any{"token_type": "Bearer", "expires_in": 3600}
	maps.Copy(reply, fields)
	GiveJSON(w, http.StatusOK, reply)
}

// GiveJSON answers with v.
func GiveJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// GiveError answers with an error object (RFC 6749 section 5.2).
func GiveError(status int, code, description string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		GiveJSON(w, status, map[string]string{"error": code, "error_description": description})
	}
}

// HTTPToken is an answer with the token "A1" as it goes over the wire.
const HTTPToken = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 61\r\n\r\n" +
	`{"access_token":"A1","token_type":"Bearer","expires_in":3600}`
