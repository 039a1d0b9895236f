package oauth

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
)

// absent stands for an answer without Content-Type.
const absent = "absent"

var contentTypes = []string{absent, "text/plain", "text/html; charset=utf-8", "application/json; charset=UTF-8",
	"application/x-www-form-urlencoded", "application/x-javascript", "=garbage;;/"}

const (
	tokenObject = `{"access_token":"A1","token_type":"Bearer","expires_in":3600,"refresh_token":"R2"}`
	tokenForm   = "access_token=A1&token_type=Bearer&expires_in=3600&refresh_token=R2"
	errorObject = `{"error":"invalid_grant","error_description":"Token has been revoked."}`
	errorForm   = "error=invalid_grant&error_description=Token+has+been+revoked."
)

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

// A wording is a way to write an answer.
type wording struct {
	name, encoding string
	body           func(object, form string) string
	fault          error // of an answer with a status of success; nil: it can be read
}

var wordings = []wording{
	{"JSON", "", func(o, _ string) string { return o }, nil},
	{"BOM", "", func(o, _ string) string { return "\xef\xbb\xbf" + o }, nil},
	{"white space", "", func(o, _ string) string { return " \r\n\t" + o + "\r\n" }, nil},
	{"white space, BOM, white space", "", func(o, _ string) string { return "\n\xef\xbb\xbf\n" + o }, nil},
	{"form", "", func(_, f string) string { return f }, nil},
	{"gzip", "gzip", func(o, _ string) string { return gzipped(o) }, nil},
	{"gzip, not said", "", func(o, _ string) string { return gzipped("\xef\xbb\xbf" + o) }, nil},
	{"gzip, only said", "gzip", func(o, _ string) string { return o }, nil},
	{"gzip of a form", "x-gzip", func(_, f string) string { return gzipped(f) }, nil},
	{"gzip without its end", "gzip", func(o, _ string) string { z := gzipped(o); return z[:len(z)-8] }, nil},
	{"deflate", "deflate", func(o, _ string) string { return deflated(o) }, nil},
	{"deflate, only said", "deflate", func(_, f string) string { return f }, nil},
	{"HTML", "", func(string, string) string {
		return "<html><a href=\"/?access_token=x&error=y\">Sign in</a></html>"
	}, errMalformedReply},
	{"empty", "", func(string, string) string { return "" }, errMalformedReply},
	{"truncated", "", func(o, _ string) string { return o[:len(o)-1] }, errMalformedReply},
	{"truncated gzip", "gzip", func(o, _ string) string { return gzipped(o)[:20] }, errMalformedReply},
	{"too big", "", func(o, _ string) string { return o + strings.Repeat(" ", maxReply) }, errReplyTooLarge},
	{"gzip of too much", "gzip", func(o, _ string) string { return gzipped(o + strings.Repeat(" ", maxReply)) }, errReplyTooLarge},
}

// give answers with a wording.
func (wd wording) give(status int, contentType, object, form string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if contentType != absent {
			w.Header().Set("Content-Type", contentType)
		}
		if wd.encoding != "" {
			w.Header().Set("Content-Encoding", wd.encoding)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, wd.body(object, form))
	}
}

// TestAnswerForms has every wording under every Content-Type and status: what is
// said counts, not what the header says of it, and the rotated refresh token is
// stored.
func TestAnswerForms(t *testing.T) {
	ts := newTokenServer(t)
	store := new(memoryStore)
	cfg := testConfig()
	cfg.Store = store
	m := testManager(t, cfg)
	n := 0
	ask := func(h http.HandlerFunc) (*Token, Record, error) {
		n++
		ts.setAnswer(h)
		a := accountLike(testAccount(ts.URL), func(a *account.Account) { a.ID, a.ClientID = fmt.Sprint("acct", n), fmt.Sprint("client", n) })
		tok, err := m.Source(a).Get(t.Context())
		r, _, _ := store.Load(ChainOf(a))
		return tok, r, err
	}
	for _, status := range []int{200, 201, 400, 401, 429, 500} {
		for _, contentType := range contentTypes {
			for _, wd := range wordings {
				name := fmt.Sprintf("%d, %s, %s", status, contentType, wd.name)
				_, _, err := ask(wd.give(status, contentType, errorObject, errorForm))
				want := ErrInvalidGrant
				switch {
				case errors.Is(wd.fault, errReplyTooLarge), wd.fault != nil && status < 300:
					want = wd.fault
				case status == 429:
					want = ErrThrottled
				case status == 500 || wd.fault != nil:
					want = ErrUnavailable
				}
				if !errors.Is(err, want) {
					t.Errorf("%s: error object: %v, want %v", name, err, want)
				}
				if e, ok := errors.AsType[*Error](err); ok && errors.Is(want, ErrInvalidGrant) && e.Status != status {
					t.Errorf("%s: status %d in the error", name, e.Status)
				}
				if status > 299 {
					continue
				}
				tok, r, err := ask(wd.give(status, contentType, tokenObject, tokenForm))
				if wd.fault != nil {
					if !errors.Is(err, wd.fault) {
						t.Errorf("%s: token: %v, want %v", name, err, wd.fault)
					}
					continue
				}
				if err != nil || tok.Access != "A1" || r.Refresh.Reveal() != "R2" || time.Until(tok.Expiry) < 50*time.Minute {
					t.Errorf("%s: token: %v, %v, stored %q", name, tok, err, r.Refresh.Reveal())
				}
			}
		}
	}
}

// TestRefreshTokenWithoutToken has answers whose access token is of no use and
// whose refresh token the provider has rotated to: it is used the next time.
func TestRefreshTokenWithoutToken(t *testing.T) {
	for _, body := range []string{
		`{"refresh_token":"R2"}`,
		`{"access_token":"","refresh_token":"R2"}`,
		`{"access_token":"a b","refresh_token":"R2"}`,
		`{"access_token":"A","token_type":"mac","refresh_token":"R2"}`,
		`{"access_token":"A","expires_in":[],"refresh_token":"R2"}`,
		`{"error":"server_error","refresh_token":"R2"}`,
		"refresh_token=R2",
	} {
		t.Run(body, func(t *testing.T) {
			ts := newTokenServer(t)
			ts.setAnswer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
			store := new(memoryStore)
			cfg := testConfig()
			cfg.Store = store
			m := testManager(t, cfg)
			a := testAccount(ts.URL)
			if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("err = %v", err)
			}
			if r, _, _ := store.Load(ChainOf(a)); r.Refresh.Reveal() != "R2" || r.Rotated.IsZero() {
				t.Errorf("stored %q", r.Refresh.Reveal())
			}
			ts.setAnswer(nil)
			if err := m.ForceRefresh(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if sent := sentRefreshTokens(ts); sent[len(sent)-1] != "R2" {
				t.Errorf("refresh tokens sent: %q", sent)
			}
		})
	}
}

// TestAnswerWithWrongLength has an endpoint that closes before the length that it
// announced, or without the last chunk: a whole object is an answer.
func TestAnswerWithWrongLength(t *testing.T) {
	for name, reply := range map[string]string{
		"length":  "Content-Length: 1000\r\n\r\n" + tokenObject,
		"chunked": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(tokenObject), tokenObject),
		"no end":  "Connection: close\r\n\r\n" + tokenObject,
	} {
		t.Run(name, func(t *testing.T) {
			addr := rawServer(t, func(_ int, c net.Conn) {
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+reply)
			})
			m := testManager(t, testConfig())
			if tok := mustGet(t, m.Source(testAccount("http://"+addr))); tok.Access != "A1" {
				t.Errorf("token %q", tok.Access)
			}
		})
	}
}

// TestAnswerFormsOfFlows has the other flows, which read answers in other ways,
// take what the refresh token's takes.
func TestAnswerFormsOfFlows(t *testing.T) {
	private, _ := pemKey(t, rsaKey(t))
	ts := newTokenServer(t)
	accounts := map[string]*account.Account{
		"client_credentials": {Flow: account.FlowClientCredentials, ClientID: "c", ClientSecret: account.NewSecret("s")},
		"service_account":    {Flow: account.FlowServiceAccount, ClientID: svcEmail, PrivateKey: private},
		"external":           {Flow: account.FlowExternal},
	}
	n := 0
	for flow, base := range accounts {
		for _, contentType := range contentTypes {
			for _, wd := range wordings {
				if wd.fault != nil {
					continue
				}
				name := fmt.Sprintf("%s, %s, %s", flow, contentType, wd.name)
				m := testManager(t, testConfig())
				for _, refused := range []bool{true, false} {
					n++
					a := accountLike(base, func(a *account.Account) {
						a.ID, a.Email, a.TokenURL = fmt.Sprint("acct", n), fmt.Sprintf("u%d@gmail.com", n), ts.URL
					})
					if refused {
						ts.setAnswer(wd.give(200, contentType, errorObject, errorForm))
						if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrInvalidGrant) {
							t.Errorf("%s: error object: %v", name, err)
						}
						continue
					}
					ts.setAnswer(wd.give(201, contentType, tokenObject, tokenForm))
					if tok, err := m.Source(a).Get(t.Context()); err != nil || tok.Access != "A1" || time.Until(tok.Expiry) < 50*time.Minute {
						t.Errorf("%s: token: %v", name, err)
					}
				}
			}
		}
	}
}

// consentServer answers requests for device codes and for tokens with a wording.
func consentServer(t *testing.T, wd wording, contentType, object, form string) (*tokenServer, *Authorizer) {
	ts := newTokenServer(t)
	ts.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/device" && object != errorObject {
			wd.give(200, contentType, `{"device_code":"D","user_code":"U","verification_uri":"https://example.com/","expires_in":900,"interval":1}`,
				"device_code=D&user_code=U&verification_uri=https%3A%2F%2Fexample.com%2F&expires_in=900&interval=1")(w, r)
			return
		}
		wd.give(200, contentType, object, form)(w, r)
	})
	z := NewAuthorizer(testConfig(), AuthorizeConfig{ClientID: "c", AuthURL: ts.URL + "/auth", DeviceURL: ts.URL + "/device",
		TokenURL: ts.URL + "/token", LoginHint: gmailUser})
	z.second = time.Millisecond
	t.Cleanup(z.Close)
	return ts, z
}

func TestAnswerFormsOfConsent(t *testing.T) {
	flows := map[string]func(z *Authorizer) (*Consent, error){
		"device": func(z *Authorizer) (*Consent, error) { return z.DeviceAuthorize(t.Context(), func(DevicePrompt) {}) },
		"code": func(z *Authorizer) (*Consent, error) {
			r := newRequest(t, z)
			return r.Exchange(t.Context(), "the-code")
		},
	}
	for name, consent := range flows {
		for _, contentType := range []string{absent, "text/plain", "text/html", "application/json"} {
			for _, wd := range wordings {
				if wd.fault != nil {
					continue
				}
				_, z := consentServer(t, wd, contentType, tokenObject, tokenForm)
				if c, err := consent(z); err != nil || c.RefreshToken.Reveal() != "R2" || c.Token.Access != "A1" {
					t.Errorf("%s, %s, %s: %v", name, contentType, wd.name, err)
				}
				_, z = consentServer(t, wd, contentType, errorObject, errorForm)
				if _, err := consent(z); !errors.Is(err, ErrInvalidGrant) {
					t.Errorf("%s, %s, %s: error object: %v", name, contentType, wd.name, err)
				}
			}
		}
	}
}

// What a token command prints is read as an endpoint's answer is.
func TestTokenCommandForms(t *testing.T) {
	for _, wd := range wordings {
		if wd.fault != nil {
			continue
		}
		for object, form := range map[string]string{tokenObject: tokenForm, errorObject: errorForm} {
			path := t.TempDir() + "/printed"
			if err := os.WriteFile(path, []byte(wd.body(object, form)), 0o600); err != nil {
				t.Fatal(err)
			}
			if wd.encoding == "deflate" && wd.body("x", "y") != "y" {
				continue // there is no header to say so
			}
			a := &account.Account{ID: "acct", Email: outlookUser, Flow: account.FlowExternal, TokenCommand: []string{"/bin/cat", path}}
			tok, err := testManager(t, testConfig()).Source(a).Get(t.Context())
			switch {
			case object == errorObject && !errors.Is(err, ErrInvalidGrant):
				t.Errorf("%s: error object: %v", wd.name, err)
			case object == tokenObject && (err != nil || tok.Access != "A1"):
				t.Errorf("%s: %v", wd.name, err)
			}
		}
	}
}

func FuzzAsJSON(f *testing.F) {
	for _, wd := range wordings[:len(wordings)-2] {
		f.Add([]byte(wd.body(tokenObject, tokenForm)), wd.encoding)
	}
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		out, err := asJSON(body, encoding)
		if err != nil && !errors.Is(err, errReplyTooLarge) || len(out) > 7*max(maxReply, len(body)) {
			t.Fatalf("%d octets, %v", len(out), err)
		}
		if err != nil || isObject(out) || len(body) == 0 {
			return
		}
		if values, err := url.ParseQuery(string(out)); err == nil && values.Has("access_token") && !bytes.ContainsAny(out, "{}<>\"' \t\r\n") {
			t.Errorf("%q is a form", out)
		}
	})
}
