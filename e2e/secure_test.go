//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"os"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

// Ways of TLS, as tests name them.
const (
	clear    = "none"
	starttls = "starttls"
	implicit = "implicit"
)

// secured is a stack whose proxy asks for TLS and for passwords: a listener on
// which STARTTLS is required and one with implicit TLS, both with a password of
// its own for each account, stored so that CRAM-MD5 can use it.
type secured struct {
	*stack
	implicitPort string
	ca           string // PEM file of the certificate, which is its own authority
}

// portFor returns the port for a way of TLS.
func (s *secured) portFor(tlsMode string) string {
	if tlsMode == implicit {
		return s.implicitPort
	}
	return s.port()
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	return newSecuredWith(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser)})
}

func newSecuredWith(t *testing.T, cfg sandbox.Config) *secured {
	t.Helper()
	s := &secured{implicitPort: freePort(t)}
	s.stack = newStackChanged(t, cfg, func(st *stack, files sandbox.ProxyFiles) {
		cert, key := testkit.PEM(testkit.Certificate("localhost", "127.0.0.1"))
		s.ca = st.write(t, "proxy-cert.pem", cert)
		keyFile := st.write(t, "proxy-key.pem", key)
		edit(t, files.Config, func(root map[string]any) {
			root["listeners"] = []map[string]any{
				{"address": "127.0.0.1:0", "tls": "required", "passwords": "account"},
				{"address": "127.0.0.1:" + s.implicitPort, "tls": "implicit", "passwords": "account"},
			}
			root["server"] = map[string]any{"cert_file": s.ca, "key_file": keyFile}
		})
		edit(t, files.Accounts, func(root map[string]any) {
			for _, a := range root["accounts"].([]any) {
				a.(map[string]any)["client_password"] = clientPassword
			}
		})
	})
	return s
}

// edit changes a file of JSON.
func edit(t *testing.T, name string, change func(map[string]any)) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	change(root)
	if text, err = json.Marshal(root); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tlsConfig trusts the proxy's certificate.
func (s *secured) tlsConfig(t *testing.T) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(s.ca)
	if err != nil {
		t.Fatal(err)
	}
	return testkit.Trusting(text, "localhost")
}

// eachMechanism runs send, by each mechanism and way of TLS, for the small
// messages of the corpus.
func eachMechanism(t *testing.T, send func(t *testing.T, s *secured, mechanism, tlsMode string, m mail), modes ...string) {
	s := newSecured(t)
	for _, mode := range modes {
		for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
			t.Run(mode+"/"+mechanism, func(t *testing.T) {
				sendLetters(t, s.stack, smallLetters(), func(t *testing.T, m mail) { send(t, s, mechanism, mode, m) }, s.arrived)
			})
		}
	}
}
