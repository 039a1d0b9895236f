package oauth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// TestNoSecretOfAnyFlow has an endpoint echo the requests of each flow, and looks for
// parts of secrets in all output of the package.
func TestNoSecretOfAnyFlow(t *testing.T) {
	svcKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecPrivate, _ := tokentest.PEMKey(t, svcKey)
	rsaPrivate, _ := tokentest.PEMKey(t, tokentest.RSAKey(t))
	const secret, refresh, proxy = "CANARY~client secret+/%", "0.CANARYrefresh!*$+/=abc~def.ghi", "http://CANARYuser:CANARYpass@127.0.0.1:1"
	flows := map[string]func(*account.Account){
		"refresh token": func(a *account.Account) {
			a.RefreshToken, a.ClientSecret = account.NewSecret(refresh), account.NewSecret(secret)
		},
		"client secret": func(a *account.Account) {
			a.Flow, a.ClientSecret = account.FlowClientCredentials, account.NewSecret(secret)
		},
		"certificate": func(a *account.Account) {
			a.Flow, a.Certificate, a.PrivateKey = account.FlowClientCredentials, tokentest.PEMCertificate(t, svcKey), ecPrivate
		},
		"key of another kind": func(a *account.Account) {
			a.Flow, a.Certificate, a.PrivateKey = account.FlowClientCredentials, "CANARY", account.NewSecret("CANARY")
		},
		"service account": func(a *account.Account) { a.Flow, a.PrivateKey = account.FlowServiceAccount, rsaPrivate },
		"endpoint":        func(a *account.Account) { a.Flow, a.ClientSecret = account.FlowExternal, account.NewSecret(secret) },
		"command": func(a *account.Account) {
			a.Flow, a.TokenCommand = account.FlowExternal, []string{"/nowhere/CANARYcommand"}
		},
		"unreachable proxy": func(a *account.Account) {
			a.TokenURL, a.RefreshToken, a.TokenProxy = "https://127.0.0.1:1/", account.NewSecret(refresh), account.NewSecret(proxy)
		},
	}
	for name, change := range flows {
		t.Run(name, func(t *testing.T) {
			ts := tokentest.NewServer(t)
			ts.SetAnswer(tokentest.Echo(ts))
			var out, logged bytes.Buffer
			log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(&logged)), zap.DebugLevel))
			set := metrics.NewSet()
			cfg := testConfig()
			cfg.Store = &memoryStore{err: errors.New("disk full")}
			m := New(cfg, log, set)
			a := tokentest.AccountLike(tokentest.Account(ts.URL), change)
			m.Retain(snapshot(t, a))
			for range 6 {
				tok, err := m.Fetch(t.Context(), a)
				e, _ := errors.AsType[*Error](err)
				st, _ := m.State(a.ID)
				asJSON, _ := json.Marshal(map[string]any{"err": err, "state": st, "account": a.RefreshToken})
				fmt.Fprintf(&out, "%v %+v %#v %v %+v %v %+v %#v %s\n", err, err, err, tok, tok, st, st, st, asJSON)
				if e != nil {
					fmt.Fprintf(&out, "%s %s %+v\n", e.Public(), e.Hint, *e)
				}
				log.Debug("state", zap.Any("state", st), zap.Any("account_error", err), zap.Reflect("source", m.Source(a).chain.AccountID))
			}
			m.Close()
			_, _ = logged.WriteTo(&out)
			set.WritePrometheus(&out)
			for _, part := range append(partsOf(a.PrivateKey), "CANARY", url.QueryEscape(secret)[:10], "eyJ") {
				if strings.Contains(out.String(), part) {
					t.Errorf("%q is in the output:\n%s", part, out.String())
				}
			}
		})
	}
}

// partsOf are pieces of a private key, as text and in DER.
func partsOf(key account.Secret) (parts []string) {
	block, _ := pem.Decode([]byte(key.Reveal()))
	if block == nil {
		return nil
	}
	lines := strings.Split(key.Reveal(), "\n")
	return append(parts, lines[2][:16], string(block.Bytes[len(block.Bytes)-16:]))
}
