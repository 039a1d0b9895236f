package sandbox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	gmailUser   = "user@gmail.com"
	outlookUser = "user@outlook.com"
)

// newServer starts a sandbox that ends with the test.
func newServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// xoauth2 is the mechanism of net/smtp with the user and a token.
type xoauth2 [2]string

func (a xoauth2) Start(*smtp.ServerInfo) (string, []byte, error) {
	return "XOAUTH2", []byte("user=" + a[0] + "\x01auth=Bearer " + a[1] + "\x01\x01"), nil
}

func (a xoauth2) Next([]byte, bool) ([]byte, error) { return nil, nil }

// login returns an authenticated client of the account's endpoint.
func login(t *testing.T, s *Server, user string) *smtp.Client {
	t.Helper()
	c, err := smtp.Dial(s.Addr(s.Mailbox(user).Endpoint))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CAPEM())
	if err := c.StartTLS(&tls.Config{RootCAs: pool, ServerName: "localhost"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(xoauth2{user, s.IssueToken(user, time.Hour)}); err != nil {
		t.Fatal(err)
	}
	return c
}

// mustDeliver is deliver of a message that is accepted.
func mustDeliver(t *testing.T, s *Server, user, content string) {
	t.Helper()
	if err := deliver(t, s, user, content); err != nil {
		t.Fatal(err)
	}
}

// deliver sends a message of the account, and returns the final reply if it
// refuses.
func deliver(t *testing.T, s *Server, user, content string) error {
	t.Helper()
	c := login(t, s, user)
	if err := c.Mail("from@a.test"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("to@b.test"); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return w.Close()
}

// refused reports whether err is a reply of that code whose text begins so.
func refused(err error, code int, text string) bool {
	var reply *textproto.Error
	return errors.As(err, &reply) && reply.Code == code && strings.HasPrefix(reply.Msg, text)
}
