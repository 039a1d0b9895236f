package accountfile

import (
	"strings"
	"testing"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile/keytest"
)

// FuzzAccounts reads arbitrary files as accounts. It must not panic, and: a refused
// file says where and why on one line for each mistake; an accepted one yields
// accounts that keep the rules, and comments and white space do not change it.
func FuzzAccounts(f *testing.F) {
	keytest.AddFiles(f, "../config/testdata/*/*.json", "../../configs/*.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		o := readRight(t, data)
		minimal, err := hujson.Minimize(append([]byte(nil), data...))
		if err != nil {
			return
		}
		if again := readRight(t, minimal); len(again.problems) != len(o.problems) || len(again.lines) != len(o.lines) {
			t.Errorf("minimized, the file is read differently:\n%v\n%v\nand\n%v\n%v", o.problems, o.lines, again.problems, again.lines)
		}
	})
}

// readRight reads data, and checks what is said about it and the accounts in it.
func readRight(t *testing.T, data []byte) outcome {
	t.Helper()
	b := testBasis()
	o := coldly(b, data)
	if (len(o.problems) > 0) != (o.snapshot == nil) {
		t.Errorf("snapshot %v, problems %v", o.snapshot, o.problems)
	}
	for _, line := range o.lines {
		if strings.ContainsAny(line, "\r\n") {
			t.Errorf("a line of the report has a line end: %q", line)
		}
	}
	for i := range o.problems {
		if p := &o.problems[i]; p.File == "" || p.Message == "" || strings.ContainsAny(p.Error(), "\r\n") {
			t.Errorf("problem %q", p)
		}
	}
	if o.snapshot == nil {
		return o
	}
	for _, a := range o.snapshot.All() {
		if a.Email == "" || a.ID == "" || a.TokenURL == "" && len(a.TokenCommand) == 0 || a.SMTP.Host == "" || a.SMTP.TLS == "" ||
			a.RefreshToken.IsZero() == (a.TokenFlow() == account.FlowRefreshToken) || a.CheckCatchAll() != nil || a.RefreshMargin <= 0 {
			t.Errorf("account %+v", a)
		}
		p := b.Providers[a.Provider]
		if p.Ceilings.MaxConnections.Exceeded(a.Limits.MaxConnections) || p.Ceilings.MessagesPerMinute.Exceeded(a.Limits.MessagesPerMinute) || a.Limits.MaxConnections < 1 {
			t.Errorf("limits %+v above %+v", a.Limits, p.Ceilings)
		}
	}
	return o
}
