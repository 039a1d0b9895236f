package oauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/account"
)

// canaries are secrets that must turn up nowhere, each in its own form.
var canaries = map[string]string{
	"refresh": "0.CANARYrefresh!*$+/=abc~def.ghi",
	"client":  "CANARY~client secret+/%",
	"rotated": "M.C5_CANARYrotated*$!qwertyuiop",
	"access":  "eyJCANARYaccess.payload.signature",
	"short":   "CNRY",
}

// TestNoSecretAnywhere lets endpoints echo what they were sent, in every place
// of an answer, and looks for it in all that leaves the package.
func TestNoSecretAnywhere(t *testing.T) {
	echo := func(status int, contentType, format string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			all := canaries["refresh"] + " " + canaries["client"] + " " + canaries["short"] + " " +
				url.QueryEscape(canaries["refresh"]) + " '" + canaries["refresh"][:12] + "...' " + canaries["access"] + "/" + strings.Repeat("x", 40)
			quoted, _ := json.Marshal(all)
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			fmt.Fprintf(w, format, quoted[1:len(quoted)-1])
		}
	}
	const j = "application/json"
	tests := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"token", func(w http.ResponseWriter, _ *http.Request) {
			giveToken(w, map[string]any{"access_token": canaries["access"], "refresh_token": canaries["rotated"]})
		}},
		{"description", echo(400, j, `{"error":"invalid_grant","error_description":"bad token %s"}`)},
		{"code", echo(400, j, `{"error":"%s"}`)},
		{"number", echo(400, j, `{"error":"x","error_description":"AADSTS%s"}`)},
		{"uri", echo(400, j, `{"error":"invalid_client","error_uri":"%s"}`)},
		{"plain error body", echo(500, "text/html", `%s`)},
		{"plain good body", echo(200, "text/html", `%s`)},
		{"number field", echo(200, j, `{"access_token":"A","expires_in":"%s"}`)},
		{"token type", echo(200, j, `{"access_token":"A","token_type":"%s"}`)},
		{"form body", echo(200, "application/x-www-form-urlencoded", `%%zz=%s`)},
		{"redirect", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/"+url.PathEscape(canaries["refresh"]))
			w.WriteHeader(302)
		}},
		{"status line", func(w http.ResponseWriter, _ *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(rw, "HTTP/9 %s\r\n%s\r\n\r\n", canaries["refresh"], canaries["client"])
			rw.Flush()
			c.Close()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTokenServer(t)
			ts.setAnswer(tt.answer)
			var out bytes.Buffer
			log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
				zapcore.AddSync(&out), zap.DebugLevel))
			set := metrics.NewSet()
			m := New(testConfig(), log, set)
			a := accountLike(testAccount(ts.URL), func(a *account.Account) {
				a.RefreshToken = account.NewSecret(canaries["refresh"])
				a.ClientSecret = account.NewSecret(canaries["client"])
			})
			s := m.Source(a)
			tok, err := s.Get(t.Context())
			m.Close()
			if out.Len() == 0 {
				t.Error("nothing was logged")
			}
			log.Info("values", zap.Any("token", tok), zap.Error(err), zap.Reflect("err", err))
			set.WritePrometheus(&out)
			asJSON, _ := json.Marshal(map[string]any{"token": tok, "error": err})
			out.Write(asJSON)
			fmt.Fprintf(&out, "%v %+v %#v %s %v %+v %#v", tok, tok, tok, tok, err, err, err)
			if tok != nil {
				fmt.Fprintf(&out, "%v %+v %#v %x", *tok, *tok, *tok, *tok)
			}
			if e, ok := err.(*Error); ok {
				fmt.Fprintf(&out, "%+v %s", *e, e.Public())
			}
			for name, secret := range canaries {
				for _, form := range []string{secret, url.QueryEscape(secret), secret[:min(len(secret), 12)], "CANARY"} {
					if form != "CNRY" && strings.Contains(out.String(), form) {
						t.Errorf("the %s secret is in the output as %q:\n%s", name, form, out.String())
					}
				}
			}
		})
	}
}

func TestTokenFormat(t *testing.T) {
	tok := &Token{Access: canaries["access"], XOAUTH2: newXOAUTH2("user", canaries["access"])}
	const want = "<secret> until 0001-01-01T00:00:00Z"
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{tok, *tok} {
			if got := fmt.Sprintf(format, v); got != want {
				t.Errorf("%s of %T: %s", format, v, got)
			}
		}
	}
	if got, err := json.Marshal(tok); err != nil || string(got) != strconvQuote(want) {
		t.Errorf("JSON: %s, %v", got, err)
	}
}

// strconvQuote quotes as encoding/json does, which escapes angle brackets.
func strconvQuote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// The example of Google's documentation of the mechanism.
func TestXOAUTH2(t *testing.T) {
	const want = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
	got := newXOAUTH2("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
	if string(got) != want {
		t.Errorf("got %s", got)
	}
}

func TestRedact(t *testing.T) {
	secrets := []string{"refresh-secret-1", "pw", "two words"}
	tests := []struct{ in, want string }{
		{"", ""},
		{"Token has been expired or revoked.", "Token has been expired or revoked."},
		{"token refresh-secret-1 is bad", "token <secret> is bad"},
		{"token=refresh-secret-1&x", "token=<secret>&x"},
		{"token 'refresh-s...' is bad", "token <secret> is bad"},
		{"password pw.", "password <secret>."},
		{"the two words", "the <secret>"},
		{"Trace ID: 8f7b3a52-0f2a-4d5e-9f44-5b2f7a3d1c00", "Trace ID: 8f7b3a52-0f2a-4d5e-9f44-5b2f7a3d1c00"},
		{"unknown " + strings.Repeat("a1", 30), "unknown <secret>"},
		{"line\r\n250 OK\x00\x1b[31m", "line 250 OK??[31m"},
		{"bad \xff UTF-8", "bad ? UTF-8"},
	}
	for _, tt := range tests {
		if got := redact(tt.in, secrets); got != tt.want {
			t.Errorf("redact(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := redact(strings.Repeat("é ", 1000), nil); len(got) > maxDescription+3 {
		t.Errorf("%d octets are left", len(got))
	}
}

// Whatever an endpoint makes of a secret, eight octets of it in a row are not
// shown, and the result is one line.
func FuzzRedact(f *testing.F) {
	f.Add("the token refresh-secret-1 is bad", "refresh-secret-1")
	f.Add("a\nb refresh-secr", "refresh-secret-1")
	f.Add("<secret> <secret>", "x <secret> y")
	f.Fuzz(func(t *testing.T, text, secret string) {
		if len(secret) < secretWindow || strings.ContainsAny(secret, " \t\r\n\v\f<>?.") || !isBearer(secret) {
			return
		}
		got := redact(text, []string{secret})
		for i := 0; i+secretWindow <= len(got); i++ {
			if w := got[i : i+secretWindow]; strings.Contains(secret, w) {
				t.Fatalf("%q of the secret %q is in %q", w, secret, got)
			}
		}
		if strings.ContainsAny(got, "\r\n\x00") || len(got) > maxDescription+3 {
			t.Fatalf("not a short line: %q", got)
		}
	})
}
