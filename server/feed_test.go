package server

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/upstream"
)

// feeder runs one session without a network: what is fed comes from the
// client, what the session writes is in out, and the relay accepts at once.
type feeder struct {
	s    *session
	loop loop.Fake
	out  []byte

	record   bool // keep messages
	messages []string
	taken    int
}

func newFeeder(t testing.TB, change func(*Config)) *feeder {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Hostname = "mx.example.com"
	cfg.Listeners = []Listener{{Address: "127.0.0.1:0"}}
	if change != nil {
		change(&cfg)
	}
	snap, err := account.NewSnapshot([]*account.Account{{ID: "anna", Email: gmailUser, Extensions: account.Ext8BITMIME | account.ExtSMTPUTF8}})
	if err != nil {
		t.Fatal(err)
	}
	f := &feeder{}
	srv, err := New(cfg, account.NewStore(snap), f, f, zap.NewNop(), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	ln := &listener{srv: srv, cfg: cfg.Listeners[0], policy: password.PolicyAny}
	ln.ehlo.Store(ln.newEHLO(capabilities{extensions: account.Ext8BITMIME | account.ExtSMTPUTF8}))
	f.loop = loop.NewFake(loop.Config{Log: zap.NewNop(), Panicked: srv.callbackPanicked})
	srv.addLoop(f.loop.Loop)
	srv.active.Add(1)
	ln.active.Add(1)
	f.s = &session{srv: srv, listener: ln, id: 1}
	f.loop.Open(f.s, func(b []byte) { f.out = append(f.out, b...) })
	f.out = f.out[:0] // the greeting
	return f
}

// login greets and logs in.
func (f *feeder) login() {
	f.feed("EHLO client.example.com\r\nAUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n")
	f.out = f.out[:0]
}

// feed gives octets to the session, and to its loop whatever was posted.
func (f *feeder) feed(s string) { f.feedBytes([]byte(s)) }

func (f *feeder) feedBytes(b []byte) {
	if f.s.state != stateClosed {
		f.loop.Receive(f.s.conn, b)
	}
	f.loop.RunPosted()
}

// replies takes what the session has said so far.
func (f *feeder) replies() string {
	s := string(f.out)
	f.out = f.out[:0]
	return s
}

// end closes the connection from the client's side, and checks that nothing is
// left.
func (f *feeder) end(t testing.TB) {
	t.Helper()
	f.s.close()
	if n := f.s.srv.budget.Used(); n != 0 {
		t.Errorf("%d octets of the budget are left in use", n)
	}
	if n := f.s.srv.metrics.Panics.Get(); n != 0 {
		t.Errorf("%d panics", n)
	}
	if f.s.in != nil || f.s.times.timer.Pending() {
		t.Error("a closed session holds a buffer or has a timer")
	}
}

// Ready implements Tokens.
func (f *feeder) Ready(*account.Account) bool { return true }

// Fetch implements Tokens.
func (f *feeder) Fetch(_ *account.Account, done func(error)) { done(nil) }

var (
	feederAccepted  = upstream.Result{Reply: codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 0, 0}, Text: "taken"}}
	feederRecipient = codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 1, 5}, Text: "fine"}
)

// TrySubmit implements Relay.
func (f *feeder) TrySubmit(tx *upstream.Transaction) error {
	for i := range tx.Rcpts {
		tx.Rcpts[i].Reply = feederRecipient
	}
	if tx.Content == nil {
		tx.Done.RecipientsReplied(tx, nil)
		return nil
	}
	f.taken++
	if f.record {
		var b bytes.Buffer
		fmt.Fprintf(&b, "%s:", tx.Mail.Path)
		for _, r := range tx.Rcpts {
			fmt.Fprintf(&b, "%s:", r.Args.Path)
		}
		if _, err := tx.Content.WriteTo(&b); err != nil {
			panic(err)
		}
		f.messages = append(f.messages, b.String())
	}
	tx.Result = feederAccepted
	tx.Done.Complete(tx, nil)
	return nil
}

// Continue implements Relay.
func (f *feeder) Continue(tx *upstream.Transaction) error { return f.TrySubmit(tx) }

// Stuck implements Relay.
func (*feeder) Stuck() bool { return false }

func (*feeder) Expect(*account.Account, *loop.Loop) {}

// codes lists the codes of the replies in s, one a reply.
func codes(s string) (all []string) {
	for line := range strings.Lines(s) {
		if len(line) > 3 && line[3] == ' ' {
			all = append(all, line[:3])
		}
	}
	return all
}

// TestFeedEveryCut feeds dialogs cut at every place, in two and octet by octet:
// replies and messages are always those of the whole.
func TestFeedEveryCut(t *testing.T) {
	const hello = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"
	const evil = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nx\r\n.\r\n"
	tests := []struct {
		name, in string
		codes    string // of the replies
		messages []string
	}{
		{"two messages", hello + "DATA\r\none\r\n.\r\n" + hello + "RCPT TO:<c@example.com>\r\nDATA\r\n..two\r\n.\r\nNOOP\r\n",
			"250 250 354 250 250 250 250 354 250 250", []string{"a@example.com:b@example.com:one\r\n", "a@example.com:b@example.com:c@example.com:.two\r\n"}},
		{"chunks", hello + "BDAT 3\r\n\r\n.BDAT 0\r\nBDAT 4 LAST\r\n\r\n.QNOOP\r\n", "250 250 250 250 250 250",
			[]string{"a@example.com:b@example.com:\r\n.\r\n.Q"}},
		{"refused chunks", "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "503 503 250", nil},
		{"long line", "NOOP " + strings.Repeat("x", 2100) + "\r\nNOOP\r\n", "500 250", nil},
		{"long line of CRs", "NOOP " + strings.Repeat("\r", 2100) + "\r\nNOOP\r\n", "500 250", nil},
		{"bare line ends", "NOOP\nNOOP\r\nNO\rOP\r\nNOOP\r\n", "500 500 250", nil},
		{"pending recipients and an error", hello + "RCPT TO:<c@example.com>\r\nRCPT TO:<\r\nRCPT TO:<d@example.com>\r\nBOGUS\r\nNOOP\r\n",
			"250 250 250 501 250 500 250", nil},
		{"quit", hello + "QUIT\r\nNOOP\r\n", "250 250 221", nil},
		{"smuggled", hello + "DATA\r\ntext\n.\r\n" + evil + "NOOP\r\n", "250 250 354 554 250", nil},
		{"smuggled by CR", hello + "DATA\r\ntext\r.\r" + evil + "NOOP\r\n", "250 250 354 554 250", nil},
		{"smuggled after CRLF", hello + "DATA\r\ntext\r\n.\n" + evil + "NOOP\r\n", "250 250 354 554 250", nil},
		{"not smuggled with NUL", hello + "DATA\r\ntext\r\n\x00.\r\n" + evil + "NOOP\r\n", "250 250 354 250 250",
			[]string{"a@example.com:b@example.com:text\r\n\x00.\r\n" + strings.TrimSuffix(evil, ".\r\n")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for cut := -1; cut <= len(tt.in); cut++ {
				f := newFeeder(t, nil)
				f.record = true
				f.login()
				if cut < 0 {
					for i := range len(tt.in) {
						f.feed(tt.in[i : i+1])
					}
				} else {
					f.feed(tt.in[:cut])
					f.feed(tt.in[cut:])
				}
				if got := strings.Join(codes(f.replies()), " "); got != tt.codes {
					t.Fatalf("cut at %d: the replies are %s, want %s", cut, got, tt.codes)
				}
				if fmt.Sprintf("%q", f.messages) != fmt.Sprintf("%q", tt.messages) {
					t.Fatalf("cut at %d: messages\n%q, want\n%q", cut, f.messages, tt.messages)
				}
				f.end(t)
			}
		})
	}
}

// TestChunkSizeOverflow declares a chunk whose size, added to what there is,
// does not fit an int64: it must not get past the cap.
func TestChunkSizeOverflow(t *testing.T) {
	f := newFeeder(t, func(cfg *Config) { cfg.MaxMessageSize = 100_000 })
	f.login()
	f.feed("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT 10\r\n0123456789BDAT 9223372036854775806 LAST\r\n")
	for range 10 {
		f.feed(strings.Repeat("x", 60_000))
	}
	if n := f.s.srv.budget.Used(); n > 200_000 {
		t.Errorf("%d octets of content are held, although the cap is 100,000", n)
	}
	f.end(t)
}

// TestFeedAfterClose feeds a session whose connection went away in the middle
// of a write: nothing may be written any more.
func TestFeedAfterClose(t *testing.T) {
	f := newFeeder(t, nil)
	f.login()
	f.feed("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT 5 LAST\r\nab")
	f.s.close()
	f.feed("c\r\nNOOP\r\n")
	f.end(t)
}
