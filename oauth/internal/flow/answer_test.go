package flow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/oauth/internal/httpc"
	"xoauth2-proxy/oauth/internal/tokentest"
)

var contentTypes = []string{tokentest.Absent, "text/plain", "text/html; charset=utf-8", "application/json; charset=UTF-8",
	"application/x-www-form-urlencoded", "application/x-javascript", "=garbage;;/"}

// TestAnswerForms has every wording under every Content-Type and status: the body
// counts, not its header, and the rotated refresh token comes with the token.
func TestAnswerForms(t *testing.T) {
	ts := tokentest.NewServer(t)
	f := testFlows(t)
	a := tokentest.Account(ts.URL)
	kinds := []struct {
		wordings []tokentest.Wording
		fault    error // of an answer with a status of success; nil: it can be read
	}{
		{tokentest.Wordings, nil},
		{tokentest.Malformed, httpc.ErrMalformedReply},
		{tokentest.TooLarge, httpc.ErrReplyTooLarge},
	}
	for _, status := range []int{200, 201, 400, 401, 429, 500} {
		for _, contentType := range contentTypes {
			for _, kind := range kinds {
				for _, wd := range kind.wordings {
					name := fmt.Sprintf("%d, %s, %s", status, contentType, wd.Name)
					ts.SetAnswer(wd.Give(status, contentType, tokentest.ErrorObject, tokentest.ErrorForm))
					_, err := fetch(t, f, a, time.Minute)
					checkErrorForm(t, name, status, kind.fault, err)
					if status > 299 {
						continue
					}
					ts.SetAnswer(wd.Give(status, contentType, tokentest.TokenObject, tokentest.TokenForm))
					got, err := fetch(t, f, a, time.Minute)
					switch {
					case kind.fault != nil:
						if !errors.Is(err, kind.fault) {
							t.Errorf("%s: token: %v, want %v", name, err, kind.fault)
						}
					case err != nil || got.Access != "A1" || got.Refresh.Reveal() != "R2" || time.Until(got.Expiry) < 50*time.Minute:
						t.Errorf("%s: token: %v, %v", name, got, err)
					}
				}
			}
		}
	}
}

// checkErrorForm checks the error of a fetch that was answered with an error object
// and that status. fault is why the answer could not be read.
func checkErrorForm(t *testing.T, name string, status int, fault, err error) {
	t.Helper()
	want := ErrInvalidGrant
	switch {
	case errors.Is(fault, httpc.ErrReplyTooLarge), fault != nil && status < 300:
		want = fault
	case status == 429:
		want = ErrThrottled
	case status == 500 || fault != nil:
		want = ErrUnavailable
	}
	if !errors.Is(err, want) {
		t.Errorf("%s: error object: %v, want %v", name, err, want)
	}
	if e, ok := errors.AsType[*Error](err); ok && errors.Is(want, ErrInvalidGrant) && e.Status != status {
		t.Errorf("%s: status %d in the error", name, e.Status)
	}
}

// TestAnswerWithWrongLength has an endpoint that closes before the length that it
// announced, or without the last chunk: a whole object is an answer.
func TestAnswerWithWrongLength(t *testing.T) {
	for name, reply := range map[string]string{
		"length":  "Content-Length: 1000\r\n\r\n" + tokentest.TokenObject,
		"chunked": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(tokentest.TokenObject), tokentest.TokenObject),
		"no end":  "Connection: close\r\n\r\n" + tokentest.TokenObject,
	} {
		t.Run(name, func(t *testing.T) {
			addr := testkit.Serve(t, func(_ int, c net.Conn) {
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+reply)
			})
			if got, err := fetch(t, testFlows(t), tokentest.Account("http://"+addr), time.Minute); err != nil || got.Access != "A1" {
				t.Errorf("token %q, %v", got.Access, err)
			}
		})
	}
}

// TestAnswerFormsOfFlows has the other flows, which read answers in other ways, read
// every wording that the refresh token's reads.
func TestAnswerFormsOfFlows(t *testing.T) {
	private, _ := tokentest.PEMKey(t, tokentest.RSAKey(t))
	ts := tokentest.NewServer(t)
	accounts := map[string]*account.Account{
		"client_credentials": {Flow: account.FlowClientCredentials, ClientID: "c", ClientSecret: account.NewSecret("s")},
		"service_account":    {Flow: account.FlowServiceAccount, ClientID: tokentest.SvcEmail, PrivateKey: private},
		"external":           {Flow: account.FlowExternal},
	}
	f := testFlows(t)
	for flow, base := range accounts {
		for _, contentType := range contentTypes {
			for _, wd := range tokentest.Wordings {
				name := fmt.Sprintf("%s, %s, %s", flow, contentType, wd.Name)
				a := tokentest.AccountLike(base, func(a *account.Account) {
					a.ID, a.Email, a.TokenURL = "acct", tokentest.GmailUser, ts.URL
				})
				ts.SetAnswer(wd.Give(200, contentType, tokentest.ErrorObject, tokentest.ErrorForm))
				if _, err := fetch(t, f, a, time.Minute); !errors.Is(err, ErrInvalidGrant) {
					t.Errorf("%s: error object: %v", name, err)
				}
				ts.SetAnswer(wd.Give(201, contentType, tokentest.TokenObject, tokentest.TokenForm))
				if got, err := fetch(t, f, a, time.Minute); err != nil || got.Access != "A1" || time.Until(got.Expiry) < 50*time.Minute {
					t.Errorf("%s: token: %v", name, err)
				}
			}
		}
	}
}

// The output of a token command is read as an endpoint's answer is.
func TestTokenCommandForms(t *testing.T) {
	for _, wd := range tokentest.Wordings {
		for object, form := range map[string]string{tokentest.TokenObject: tokentest.TokenForm, tokentest.ErrorObject: tokentest.ErrorForm} {
			path := t.TempDir() + "/printed"
			if err := os.WriteFile(path, []byte(wd.Body(object, form)), 0o600); err != nil {
				t.Fatal(err)
			}
			if wd.Encoding == "deflate" && wd.Body("x", "y") != "y" {
				continue // there is no header to say so
			}
			a := &account.Account{ID: "acct", Email: tokentest.OutlookUser, Flow: account.FlowExternal, TokenCommand: []string{"/bin/cat", path}}
			got, err := fetch(t, testFlows(t), a, time.Minute)
			switch {
			case object == tokentest.ErrorObject && !errors.Is(err, ErrInvalidGrant):
				t.Errorf("%s: error object: %v", wd.Name, err)
			case object == tokentest.TokenObject && (err != nil || got.Access != "A1"):
				t.Errorf("%s: %v", wd.Name, err)
			}
		}
	}
}

func FuzzAsJSON(f *testing.F) {
	for _, wd := range append(tokentest.Wordings, tokentest.Malformed...) {
		f.Add([]byte(wd.Body(tokentest.TokenObject, tokentest.TokenForm)), wd.Encoding)
	}
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		out, err := asJSON(body, encoding)
		if err != nil && !errors.Is(err, httpc.ErrReplyTooLarge) || len(out) > 7*max(httpc.MaxReply, len(body)) {
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
