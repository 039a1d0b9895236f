package tokend

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	gmailUser   = "user@gmail.com"
	outlookUser = "user@outlook.com"
)

// fixture is a token endpoint with the mailboxes of gmailUser and outlookUser.
type fixture struct {
	*Server
	mailbox.Directory
	fault.Script
	ahead atomic.Int64 // of its clock, see advance
}

// advance moves the clock on.
func (f *fixture) advance(d time.Duration) { f.ahead.Add(int64(d)) }

// newServer starts a token endpoint that ends with the test.
func newServer(t *testing.T, cfg Config, rules ...fault.Rule) *fixture {
	t.Helper()
	f := &fixture{}
	now := func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }
	f.Server = New(cfg.WithDefaults(), now, &f.Directory, &f.Script, func(ctx *fasthttp.RequestCtx) { SendError(ctx, 404, "not OAuth2") })
	for _, a := range mailbox.Sample(2) {
		m, err := f.Directory.Add(a, map[string]bool{a.Endpoint: true})
		if err != nil {
			t.Fatal(err)
		}
		f.AddGrant(m)
	}
	if err := f.Set(rules, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if err := f.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return f
}

// add registers clients.
func add(t *testing.T, s *fixture, clients ...Client) {
	t.Helper()
	for _, c := range clients {
		if err := s.AddClient(c); err != nil {
			t.Fatal(err)
		}
	}
}
