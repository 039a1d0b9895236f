package upstream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestMailDeclaresWhatIsNeeded: whatever the client declares, the provider is asked for what
// addresses and content need, and only a need that it cannot meet is refused.
func TestMailDeclaresWhatIsNeeded(t *testing.T) {
	const (
		ascii  = "Subject: x\r\n\r\nplain\r\n"
		body8  = "Subject: x\r\n\r\ncaf\xc3\xa9\r\n"
		header = "Subject: caf\xc3\xa9\r\n\r\nplain\r\n"
		u      = "\xc3\xbc@example.com"
		a      = "a@example.com"
	)
	b7, b8, bin := codec.Body7Bit, codec.Body8BitMIME, codec.BodyBinaryMIME
	bare := []string{"AUTH XOAUTH2", "PIPELINING"}
	full := append([]string{"8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME"}, bare...)
	tests := []struct {
		offer    []string
		body     codec.Body
		utf8     bool
		from, to string
		content  string
		// params are of the last MAIL, opened of the first one of several recipients.
		params, opened string
		reply          string
	}{
		{full, 0, false, a, a, ascii, "", "", "250"},
		{full, b7, false, a, a, ascii, "BODY=7BIT", "", "250"},
		{full, b8, false, a, a, ascii, "", "", "250"},
		{full, 0, false, a, a, body8, "BODY=8BITMIME", "", "250"},
		{full, b7, false, a, a, body8, "BODY=8BITMIME", "", "250"},
		{full, b8, false, a, a, body8, "BODY=8BITMIME", "", "250"},
		{full, bin, false, a, a, ascii, "BODY=BINARYMIME", "BODY=BINARYMIME", "250"},
		{full, bin, false, a, a, body8, "BODY=BINARYMIME", "BODY=BINARYMIME", "250"},
		{full, 0, true, a, a, ascii, "", "", "250"},
		{full, b8, true, a, a, body8, "BODY=8BITMIME", "", "250"},
		{full, b8, true, a, a, header, "BODY=8BITMIME SMTPUTF8", "", "250"},
		{full, 0, false, a, a, header, "BODY=8BITMIME", "", "250"},
		{full, 0, true, u, a, ascii, "SMTPUTF8", "SMTPUTF8", "250"},
		{full, 0, true, a, u, ascii, "SMTPUTF8", "SMTPUTF8", "250"},
		{bare, b7, false, a, a, ascii, "", "", "250"},
		{bare, b8, false, a, a, ascii, "", "", "250"},
		{bare, b8, true, a, a, ascii, "", "", "250"},
		{bare, 0, false, a, a, body8, "", "", "250"},
		{bare, b7, false, a, a, body8, "", "", "250"},
		{bare, b8, false, a, a, body8, "", "", "554 5.6.3"},
		{bare, 0, true, a, a, header, "", "", "553 5.6.7"},
		{bare, 0, true, u, a, ascii, "", "", "553 5.6.7"},
		{bare, bin, false, a, a, ascii, "", "", "554 5.6.3"},
	}
	for i, tt := range tests {
		for _, several := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, several %v", i, several), func(t *testing.T) {
				f := newFixture(t, func(s *setup) { s.keywords = tt.offer })
				mail := codec.MailArgs{Path: []byte(tt.from), Size: -1, Body: tt.body, SMTPUTF8: tt.utf8}
				var reply codec.Reply
				if several {
					tx, c := f.envelope(f.accounts[0], a, tt.to)
					tx.SetMail(mail)
					if err := f.trySubmit(tx); err != nil {
						t.Fatal(err)
					}
					c.next(t)
					reply = tx.Rcpts[0].Reply
					if tx.Over() == nil {
						tx.Content = content(t, tt.content)
						if err := f.goOn(tx); err != nil {
							t.Fatal(err)
						}
						reply = c.next(t).res.Reply
					}
					tx.Release()
				} else {
					tx, c := f.message(f.accounts[0], tt.to, tt.content)
					tx.SetMail(mail)
					reply = f.submit(tx, c).Reply
				}
				if !strings.HasPrefix(reply.String(), tt.reply) {
					t.Errorf("reply %v, want %s", reply, tt.reply)
				}
				var params []string
				for _, c := range f.box.Commands() {
					if args, ok := strings.CutPrefix(c.Line, "MAIL FROM:<"+tt.from+">"); ok {
						params = append(params, strings.TrimSpace(args))
					}
				}
				var want []string
				switch {
				case several && (tt.reply == "250" || len(tt.offer) == len(bare) && tt.from != u && tt.body != bin):
					want = []string{tt.opened}
					if tt.params != tt.opened && tt.params != "BODY=7BIT" {
						want = append(want, tt.params)
					}
				case tt.reply == "250":
					want = []string{tt.params}
				}
				if !slices.Equal(params, want) {
					t.Errorf("parameters of MAIL: %q, want %q", params, want)
				}
				if tt.reply == "250" {
					if got := provider.Messages(f.t, f.box, 1)[0].Body; string(got) != tt.content {
						t.Errorf("the provider has %q", got)
					}
				}
				provider.NoViolations(f.t, f.box)
			})
		}
	}
}

// TestRecipientNeedsSMTPUTF8: of several recipients the one that the provider cannot name is
// refused, and no other.
func TestRecipientNeedsSMTPUTF8(t *testing.T) {
	for _, offered := range []bool{false, true} {
		f := newFixture(t, func(s *setup) {
			if !offered {
				s.keywords = offerDATA
			}
		})
		tx, c := f.envelope(f.accounts[0], "a@example.com", "b@example.com")
		tx.SetMail(codec.MailArgs{Path: []byte("from@example.com"), Size: -1, SMTPUTF8: true})
		if err := f.trySubmit(tx); err != nil {
			t.Fatal(err)
		}
		c.next(t)
		tx.AddRcpt(codec.RcptArgs{Path: []byte("\xc3\xbc@example.com")}) // after MAIL without SMTPUTF8
		if err := f.goOn(tx); err != nil {
			t.Fatal(err)
		}
		c.next(t)
		want, rcpts := 553, 2
		if offered {
			want, rcpts = 250, 3
		}
		if got := []int{tx.Rcpts[0].Reply.Code, tx.Rcpts[1].Reply.Code, tx.Rcpts[2].Reply.Code}; !slices.Equal(got, []int{250, 250, want}) {
			t.Errorf("offered %v: recipients are told %v", offered, got)
		}
		tx.Content = content(t, "a\r\n")
		if err := f.goOn(tx); err != nil {
			t.Fatal(err)
		}
		if got := c.next(t).res.Reply; got.Code != 250 {
			t.Errorf("offered %v: reply %v", offered, got)
		}
		tx.Release()
		if got := provider.Messages(f.t, f.box, 1)[0].Recipients; len(got) != rcpts {
			t.Errorf("offered %v: the provider has recipients %v", offered, got)
		}
		provider.NoViolations(f.t, f.box)
	}
}

// TestUndeclaredContentIsCounted: content with octets above 127 that nothing declares goes to a
// provider without 8BITMIME, is counted, and warned of once.
func TestUndeclaredContentIsCounted(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	f := newFixture(t, func(s *setup) { s.keywords, s.log = []string{"AUTH XOAUTH2"}, zap.New(core) })
	for _, body := range []string{"plain\r\n", "caf\xe9\r\n", "caf\xc3\xa9\r\n"} {
		f.sendOK(f.accounts[0], body)
	}
	if n := f.metric("upstream_undeclared_8bit_total"); n != "2" {
		t.Errorf("%s counted", n)
	}
	if n := logs.FilterMessageSnippet("8-bit").Len(); n != 1 {
		t.Errorf("%d warnings", n)
	}
}
