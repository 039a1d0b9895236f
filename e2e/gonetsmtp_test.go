//go:build e2e

package e2e

import (
	"crypto/tls"
	"net/smtp"
	"testing"

	"xoauth2-proxy/internal/testkit"
)

func TestGoNetSMTP(t *testing.T) {
	s := newStack(t)
	eachLetter(t, s, func(t *testing.T, m mail) {
		c, err := dial(s.addr, m.login)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := send(c, m); err != nil {
			t.Fatal(err)
		}
		if err := c.Quit(); err != nil {
			t.Errorf("QUIT: %v", err)
		}
	})
}

// dial connects and logs in.
func dial(addr, login string) (*smtp.Client, error) {
	return testkit.LogIn(addr, login, clientPassword)
}

// TestGoNetSMTPTLS logs in by the mechanisms that net/smtp knows, within TLS of
// both kinds.
func TestGoNetSMTPTLS(t *testing.T) {
	s := newSecured(t)
	cfg := s.tlsConfig(t)
	for _, mode := range []string{starttls, implicit} {
		for mechanism, auth := range map[string]func(login string) smtp.Auth{
			"PLAIN":    func(login string) smtp.Auth { return smtp.PlainAuth("", login, clientPassword, "localhost") },
			"CRAM-MD5": func(login string) smtp.Auth { return smtp.CRAMMD5Auth(login, clientPassword) },
		} {
			t.Run(mode+"/"+mechanism, func(t *testing.T) {
				sendLetters(t, s.stack, smallLetters(), func(t *testing.T, m mail) {
					c, err := s.dialTLS(mode, cfg)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					if err := c.Auth(auth(m.login)); err != nil {
						t.Fatal(err)
					}
					if err := send(c, m); err != nil {
						t.Fatal(err)
					}
					if err := c.Quit(); err != nil {
						t.Errorf("QUIT: %v", err)
					}
				}, s.arrived)
			})
		}
	}
}

// dialTLS connects, and has TLS.
func (s *secured) dialTLS(mode string, cfg *tls.Config) (*smtp.Client, error) {
	addr := "localhost:" + s.portFor(mode)
	if mode == implicit {
		conn, err := tls.Dial("tcp", addr, cfg)
		if err != nil {
			return nil, err
		}
		return smtp.NewClient(conn, "localhost")
	}
	c, err := smtp.Dial(addr)
	if err != nil {
		return nil, err
	}
	if err := c.StartTLS(cfg); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// send runs one transaction. A nil error is a 250 at the end of the content.
func send(c *smtp.Client, m mail) error {
	return testkit.Submit(c, m.from, m.to, m.content)
}
