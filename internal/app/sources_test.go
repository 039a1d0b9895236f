package app

import (
	"fmt"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
)

// TestUnusableSourceAddresses starts with accounts that cannot connect from their
// ip_address: the start names them, each message gets 451 with the reason, which the log
// has too, and the account beside them sends.
func TestUnusableSourceAddresses(t *testing.T) {
	const good = "good@outlook.com"
	bad := []struct{ email, source, start, reply string }{
		{"absent@outlook.com", "192.0.2.1", "this host does not have 192.0.2.1", "ip_address 192.0.2.1 is not an address of this host"},
		{"family@outlook.com", "::1", "no connection can be made from ::1 to 127.0.0.1", "ip_address ::1 is of IPv6, and 127.0.0.1 has only IPv4 addresses"},
		{"local@outlook.com", "fe80::1", "no connection can be made from it: listen tcp [fe80::1]:0: bind: invalid argument", "ip_address fe80::1"},
	}
	provider, f := apptest.NewSandbox(t, bad[0].email, bad[1].email, bad[2].email, good)
	text := strings.ReplaceAll(apptest.ReadAll(t, f.Accounts), "\"localhost:", "\"127.0.0.1:")
	for _, a := range bad {
		name := fmt.Sprintf("%q", a.email)
		text = strings.Replace(text, name, name+`, "ip_address": "`+a.source+`"`, 1)
	}
	apptest.WriteFile(t, f.Accounts, text)
	apptest.WriteFile(t, f.Config, strings.Replace(apptest.ReadAll(t, f.Config), "{", `{"global": {"smtp": {"use_ipv6": true}},`, 1))
	s := startStack(t, provider, f)
	send := func(email string) string {
		c, err := s.Client(email)
		if err == nil {
			err = apptest.Send(c, "a message")
			_ = c.Close()
		}
		return fmt.Sprint(err)
	}
	for _, a := range bad {
		s.WaitLog(1, "accounts cannot connect from their ip_address", `"accounts":3`, a.email+": ip_address: "+a.start)
		if got := send(a.email); !strings.HasPrefix(got, "451") || !strings.Contains(got, "the account's "+a.reply) {
			t.Errorf("%s: %s", a.email, got)
		}
		s.WaitLog(1, "upstream login failed", a.email, "the account's "+a.reply, `"hint":"`)
	}
	if got := send(good); got != "<nil>" {
		t.Errorf("%s: %s", good, got)
	}
}
