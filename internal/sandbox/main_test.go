package sandbox

import (
	"errors"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"xoauth2-proxy/internal/testkit"
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

// login returns an authenticated client of the account's endpoint.
func login(t *testing.T, s *Server, user string) *smtp.Client {
	t.Helper()
	c, err := smtp.Dial(s.Addr(s.Mailbox(user).Endpoint))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.StartTLS(testkit.Trusting(s.CAPEM(), "localhost")); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(testkit.XOAuth2Auth(user, s.IssueToken(user, time.Hour))); err != nil {
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
	return testkit.Submit(login(t, s, user), "from@a.test", []string{"to@b.test"}, []byte(content))
}

// refused reports whether err is a reply of that code whose text begins so.
func refused(err error, code int, text string) bool {
	var reply *textproto.Error
	return errors.As(err, &reply) && reply.Code == code && strings.HasPrefix(reply.Msg, text)
}
