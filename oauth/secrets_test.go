package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// canaries are secrets that must turn up nowhere, each in its own form.
var canaries = map[string]string{
	"refresh": "0.CANARYrefresh!*$+/=abc~def.ghi",
	"client":  "CANARY~client secret+/%",
	"rotated": "M.C5_CANARYrotated*$!qwertyuiop",
	"access":  "eyJCANARYaccess.payload.signature",
	"short":   "CNRY",
}

// TestNoSecretAnywhere has endpoints echo the request in every place of an answer, and
// looks for secrets in all output of the package.
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
			tokentest.GiveToken(w, map[string]any{"access_token": canaries["access"], "refresh_token": canaries["rotated"]})
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
			ts := tokentest.NewServer(t)
			ts.SetAnswer(tt.answer)
			var out bytes.Buffer
			log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
				zapcore.AddSync(&out), zap.DebugLevel))
			set := metrics.NewSet()
			m := New(testConfig(), log, set)
			a := tokentest.AccountLike(tokentest.Account(ts.URL), func(a *account.Account) {
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
			if e, ok := errors.AsType[*Error](err); ok {
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
