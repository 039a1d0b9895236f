package upstream

import (
	"errors"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/testkit/provider"
)

func TestMessageNeedsWhatIsNotOffered(t *testing.T) {
	tests := []struct {
		name string
		mail codec.MailArgs
		size int
		want string
	}{
		{"BINARYMIME", codec.MailArgs{Body: codec.BodyBinaryMIME}, 1, "554 5.6.3"},
		{"SIZE", codec.MailArgs{}, 70001, "552 5.3.4"},
		{"nothing", codec.MailArgs{Body: codec.Body7Bit}, 70000, "250 2.0.0"},
	}
	f := newFixture(t, func(s *setup) { s.keywords = []string{"SIZE 70000", "AUTH XOAUTH2", "PIPELINING", "CHUNKING"} })
	for _, tt := range tests {
		for _, opened := range []bool{false, true} {
			tt.mail.Path, tt.mail.Size = []byte("from@example.com"), -1
			body := strings.Repeat("x", tt.size-1) + "\n"
			body = body[:tt.size]
			var got codec.Reply
			if opened {
				tx, c := f.envelope(f.accounts[0], "a@example.com", "b@example.com")
				tx.SetMail(tt.mail)
				if err := f.trySubmit(tx); err != nil {
					t.Fatal(err)
				}
				c.next(t)
				got = tx.Rcpts[0].Reply
				if got.Code == 250 {
					tx.Content = content(t, body)
					if err := f.goOn(tx); err != nil {
						t.Fatal(err)
					}
					got = c.next(t).res.Reply
				}
				tx.Release()
			} else {
				tx, c := f.message(f.accounts[0], "to@example.com", body)
				tx.SetMail(tt.mail)
				got = f.submit(tx, c).Reply
			}
			if code(got) != tt.want {
				t.Errorf("%s, opened %v: reply %v, want %s", tt.name, opened, got, tt.want)
			}
		}
	}
	provider.Messages(f.t, f.box, 2)
	provider.NoViolations(f.t, f.box)
}

func TestParametersAreRenderedIfOffered(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.keywords = append([]string{"DSN"}, offerBDAT...) })
	tx, c := f.message(f.accounts[0], "to@example.com", "\xe9\r\n")
	tx.SetMail(codec.MailArgs{Path: []byte("from@example.com"), Size: 99, Body: codec.Body8BitMIME,
		SMTPUTF8: true, Ret: codec.RetHeaders, EnvID: []byte("id+2B1")})
	tx.Rcpts[0].Args = codec.RcptArgs{Path: []byte("to@example.com"), Notify: codec.NotifyFailure, ORcpt: []byte("rfc822;to@example.com")}
	if res := f.submit(tx, c); res.Err != nil {
		t.Fatal(res.Err)
	}
	m := provider.Messages(f.t, f.box, 1)[0]
	if got, want := strings.Join(m.Params, " "), "SIZE=3 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B1"; got != want {
		t.Errorf("parameters of MAIL: %s, want %s", got, want)
	}
	if got, want := strings.Join(m.Recipients[0].Params, " "), "NOTIFY=FAILURE ORCPT=rfc822;to@example.com"; got != want {
		t.Errorf("parameters of RCPT: %s, want %s", got, want)
	}
	provider.NoViolations(f.t, f.box)
}

func TestDryRun(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.DryRun = true })
	res := f.send(f.accounts[0], "to@example.com", "a\r\n")
	if got := res.Reply.String(); got != "250 2.0.0 dry run: not sent" {
		t.Errorf("reply %q", got)
	}
	rcpts, final := dialog(f, [][]string{{"a@example.com", "b@example.com"}, {"c@example.com"}}, "b\r\n")
	if len(rcpts) != 3 || rcpts[2].Code != 250 || final != res.Reply {
		t.Errorf("recipients %v, final reply %v", rcpts, final)
	}
	if got := f.commands(); len(got) != 0 {
		t.Errorf("commands in a dry run: %v", got)
	}
	if s := f.box.Stats(); s.Logins != 1 {
		t.Errorf("%d logins, want 1", s.Logins)
	}
	if n := f.metric(`messages_total{result="dry_run"}`); n != "2" {
		t.Errorf("dry_run messages: %s", n)
	}
	provider.Messages(f.t, f.box, 0)
}

func TestTrySubmitChecksRecipients(t *testing.T) {
	f := newFixture(t, nil)
	for _, to := range [][]string{nil, {"a@example.com", "b@example.com"}} {
		tx, _ := f.envelope(f.accounts[0], to...)
		tx.Content = content(t, "a\r\n")
		if err := f.trySubmit(tx); !errors.Is(err, ErrRecipients) {
			t.Errorf("%d recipients with content: %v", len(to), err)
		}
		tx.Release()
	}
}
