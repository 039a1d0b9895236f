package tokend

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/testkit"
)

// rawToken refreshes the token of gmailUser and returns the answer as it came.
func rawToken(t *testing.T, s *fixture) (*http.Response, []byte) {
	t.Helper()
	box := s.Mailbox(gmailUser)
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {box.ClientID}, "refresh_token": {s.RefreshToken(gmailUser)},
		"client_secret": {box.ClientSecret}}
	resp, body, err := testkit.TryPost(&http.Transport{DisableCompression: true}, s.TokenURL(), form)
	if err != nil {
		t.Fatal(err)
	}
	return resp, []byte(body)
}

// TestAlteredToken has answers of the token endpoint that are odd in one thing.
// The rules are as a script has them.
func TestAlteredToken(t *testing.T) {
	for _, tt := range []struct {
		name, rule string
		check      func(*http.Response, []byte) bool
	}{
		{"no Content-Type", `{"action":"alter","headers":{"Content-Type":""}}`,
			func(r *http.Response, b []byte) bool {
				_, has := r.Header["Content-Type"]
				return !has && bytes.Contains(b, []byte(`"access_token"`))
			}},
		{"text/plain", `{"action":"alter","headers":{"Content-Type":"text/plain","X-Odd":"yes"}}`,
			func(r *http.Response, _ []byte) bool {
				return r.Header.Get("Content-Type") == "text/plain" && r.Header.Get("X-Odd") == "yes"
			}},
		{"BOM", `{"action":"alter","bom":true}`,
			func(_ *http.Response, b []byte) bool { return strings.HasPrefix(string(b), "\xef\xbb\xbf{") }},
		{"gzip", `{"action":"alter","gzip":true}`,
			func(r *http.Response, b []byte) bool {
				z, err := gzip.NewReader(bytes.NewReader(b))
				return err == nil && json.NewDecoder(z).Decode(new(map[string]any)) == nil && r.Header.Get("Content-Encoding") == "gzip"
			}},
		{"numeric string", `{"action":"alter","fields":{"expires_in":"3599"}}`, holds(`"expires_in":"3599"`)},
		{"fraction", `{"action":"alter","fields":{"expires_in":3599.0}}`, holds(`"expires_in":3599.0`)},
		{"exponent", `{"action":"alter","fields":{"expires_in":3.599e3}}`, holds(`"expires_in":3.599e3`)},
		{"negative", `{"action":"alter","fields":{"expires_in":-1}}`, holds(`"expires_in":-1`)},
		{"absurd", `{"action":"alter","fields":{"expires_in":99999999999999999999}}`, holds(`"expires_in":99999999999999999999`)},
		{"null", `{"action":"alter","fields":{"expires_in":null}}`, holds(`"expires_in":null`)},
		{"extra", `{"action":"alter","fields":{"x":{"y":[1]}}}`, holds(`"x":{"y":[1]}`)},
		{"missing", `{"action":"alter","drop":["expires_in"]}`,
			func(_ *http.Response, b []byte) bool { return !bytes.Contains(b, []byte("expires_in")) }},
		{"status", `{"action":"alter","status":201}`, func(r *http.Response, _ []byte) bool { return r.StatusCode == 201 }},
		{"error in 200", `{"action":"reply","status":200,"error":"invalid_grant","headers":{"Content-Type":"text/html"}}`,
			func(r *http.Response, b []byte) bool {
				return r.StatusCode == 200 && r.Header.Get("Content-Type") == "text/html" && holds(`"error":"invalid_grant"`)(r, b)
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r fault.Rule
			if err := json.Unmarshal([]byte(tt.rule), &r); err != nil {
				t.Fatal(err)
			}
			r.Phase = fault.PhaseToken
			s := newServer(t, Config{}, r)
			if resp, body := rawToken(t, s); !tt.check(resp, body) {
				t.Errorf("%d, %v\n%s", resp.StatusCode, resp.Header, body)
			}
			s.ClearFaults()
			if resp, body := rawToken(t, s); resp.Header.Get("Content-Type") != "application/json" || !holds(`"expires_in":3599,`)(resp, body) {
				t.Errorf("without the rule: %v\n%s", resp.Header, body)
			}
		})
	}
}

func holds(part string) func(*http.Response, []byte) bool {
	return func(_ *http.Response, b []byte) bool { return bytes.Contains(b, []byte(part)) }
}
