package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream"
)

// ledger is an accounting log of a stack.
type ledger struct {
	log  *accounting.Log
	path string
}

// keepRecords opens a log in a directory of the test.
func keepRecords(t *testing.T) *ledger {
	t.Helper()
	cfg := accounting.DefaultConfig()
	cfg.Directory, cfg.MinFree = t.TempDir(), 0
	cfg.Files = []accounting.File{{Name: "a.json", Format: "json"}}
	log, err := accounting.Open(cfg, zap.NewNop(), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() }) // of a test that has failed
	return &ledger{log: log, path: filepath.Join(cfg.Directory, "a.json")}
}

// option has a stack keep its records there.
func (l *ledger) option(cfg *Config, _ *upstream.Config, _ *sandbox.Config) { cfg.Accounting = l.log }

// all ends the log and returns its records.
func (l *ledger) all(t *testing.T) (records []map[string]any) {
	t.Helper()
	if err := l.log.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if kind := text(r, "type"); len(kind) == 1 { // else it is about the log
			records = append(records, r)
		}
	}
	return records
}

// brief is a record in one line: type, recipient, code, by whom, class, phase, attempts if
// there is more than one, and what is out of the ordinary.
func brief(r map[string]any) string {
	words := []string{text(r, "type"), text(r, "rcpt"), text(r, "code"), text(r, "verdictBy"), text(r, "class"), text(r, "phase")}
	if n := text(r, "attempts"); n > "1" {
		words = append(words, "attempts="+n)
	}
	for _, flag := range []string{"late", "maybeAccepted"} {
		if text(r, flag) == "true" {
			words = append(words, flag)
		}
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

func text(r map[string]any, field string) string {
	if v, ok := r[field]; ok && v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// expect ends the log, compares its records with what they are to be, and returns them.
func (l *ledger) expect(t *testing.T, want ...string) []map[string]any {
	t.Helper()
	records := l.all(t)
	got := make([]string, len(records))
	for i, r := range records {
		got[i] = brief(r)
	}
	if !slices.Equal(got, want) {
		t.Errorf("records\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return records
}

// turn is what a client sends, and the codes of the replies to that.
type turn struct{ send, codes string }

// outcome is a dialogue with the records that it leaves.
type outcome struct {
	name    string
	user    string
	faults  []sandbox.Rule
	dialog  []turn
	records []string
}

const (
	someMail    = "MAIL FROM:<a@example.com>\r\n"
	someRcpt    = "RCPT TO:<b@example.com>\r\n"
	someContent = "Message-ID: <1@example.com>\r\n\r\ntext\r\n"
)

func replyAt(at sandbox.Phase, reply string) []sandbox.Rule {
	return []sandbox.Rule{{Phase: at, Action: sandbox.ActionReply, Reply: reply}}
}

var outcomes = []outcome{
	{"accepted", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {someContent + ".\r\n", "250"}},
		[]string{"d b@example.com 250 provider"}},
	{"accepted by BDAT", plainUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"BDAT 3\r\nabc", "250"}, {"BDAT 2 LAST\r\n\r\n", "250"}},
		[]string{"d b@example.com 250 provider"}},
	{"several, told one by one", gmailUser, nil,
		[]turn{{someMail, "250"}, {someRcpt, "250"}, {"RCPT TO:<r@5.example.com>\r\n", "550"}, {"RCPT TO:<r@4.example.com>\r\n", "450"}, {"DATA\r\n", "354"}, {someContent + ".\r\n", "250"}},
		[]string{"b r@5.example.com 550 provider message RCPT", "t r@4.example.com 450 provider message RCPT", "d b@example.com 250 provider"}},
	{"several, pipelined", plainUser, nil,
		[]turn{{someMail + "RCPT TO:<r@5.example.com>\r\n" + someRcpt + "RCPT TO:<c@example.com>\r\nDATA\r\n", "250 550 250 250 354"}, {someContent + ".\r\n", "250"}},
		[]string{"b r@5.example.com 550 provider message RCPT", "d b@example.com 250 provider", "d c@example.com 250 provider"}},
	{"first one refused after our 250", gmailUser, nil,
		[]turn{{someMail, "250"}, {"RCPT TO:<r@5.example.com>\r\n", "250"}, {someRcpt, "452"}, {"RCPT TO:<c@example.com>\r\n", "452"}, {"DATA\r\n", "550"}},
		[]string{"t b@example.com 452 proxy first_refused RCPT", "t c@example.com 452 proxy first_refused RCPT", "b r@5.example.com 550 provider message RCPT"}},
	{"one, refused after our 250", gmailUser, nil,
		[]turn{{someMail, "250"}, {"RCPT TO:<r@5.example.com>\r\n", "250"}, {"DATA\r\n", "354"}, {someContent + ".\r\n", "550"}},
		[]string{"b r@5.example.com 550 provider message RCPT"}},
	{"none left at DATA", gmailUser, nil,
		[]turn{{someMail + "RCPT TO:<q@4.example.com>\r\nRCPT TO:<r@5.example.com>\r\nDATA\r\n", "250 450 550 554"}},
		[]string{"t q@4.example.com 450 provider message RCPT", "b r@5.example.com 550 provider message RCPT"}},
	{"sender refused, several", gmailUser, replyAt(sandbox.PhaseMail, "550 5.1.8 Bad sender"),
		[]turn{{someMail + someRcpt + "RCPT TO:<c@example.com>\r\n", "250 550 550"}, {"RCPT TO:<d@example.com>\r\n", "550"}, {"DATA\r\n", "550"}},
		[]string{"b b@example.com 550 provider message MAIL", "b c@example.com 550 provider message MAIL", "b d@example.com 550 provider message MAIL"}},
	{"RCPT malformed", gmailUser, nil,
		[]turn{{someMail, "250"}, {"RCPT TO:<bad\r\n", "501"}, {"RCPT TO:<worse\r\n", "501"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {someContent + ".\r\n", "250"}},
		[]string{"b TO:<bad 501 proxy syntax RCPT", "b TO:<worse 501 proxy syntax RCPT", "d b@example.com 250 provider"}},
	{"RCPT needs SMTPUTF8", gmailUser, nil, []turn{{someMail, "250"}, {"RCPT TO:<\xce\xb4@example.com>\r\n", "553"}, {"RSET\r\n", "250"}},
		[]string{"b \xce\xb4@example.com 553 proxy smtputf8 RCPT"}},
	{"too many recipients", gmailUser, nil,
		[]turn{{someMail + someRcpt + "RCPT TO:<c@example.com>\r\nRCPT TO:<d@example.com>\r\nRCPT TO:<e@example.com>\r\n", "250 250 250 250 452"}, {"DATA\r\n", "354"}, {someContent + ".\r\n", "250"}},
		[]string{"t e@example.com 452 proxy recipients RCPT", "d b@example.com 250 provider", "d c@example.com 250 provider", "d d@example.com 250 provider"}},
	{"MAIL malformed", gmailUser, nil, []turn{{"MAIL FROM:<a\r\n", "501"}}, []string{"b 501 proxy syntax MAIL"}},
	{"declared too big", gmailUser, nil, []turn{{"MAIL FROM:<a@example.com> SIZE=99999999\r\n", "552"}}, []string{"b 552 proxy size MAIL"}},
	{"too big", gmailUser, nil,
		[]turn{{someMail, "250"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {someContent + strings.Repeat("text\r\n", 2000), ""}, {".\r\n", "552"}},
		[]string{"b b@example.com 552 proxy size content"}},
	{"chunk too big", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"BDAT 20000 LAST\r\n" + strings.Repeat("text", 5000), "552"}},
		[]string{"b b@example.com 552 proxy size content"}},
	{"bare LF", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {"a\nb\r\n.\r\n", "554"}},
		[]string{"b b@example.com 554 proxy content content"}},
	{"bare LF, several", gmailUser, nil,
		[]turn{{someMail + someRcpt + "RCPT TO:<c@example.com>\r\nRCPT TO:<r@5.example.com>\r\nDATA\r\n", "250 250 250 550 354"}, {"a\nb\r\n.\r\n", "554"}},
		[]string{"b r@5.example.com 550 provider message RCPT", "b b@example.com 554 proxy content content", "b c@example.com 554 proxy content content"}},
	{"bare LF in a chunk", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"BDAT 5 LAST\r\na\nb\r\n", "554"}},
		[]string{"b b@example.com 554 proxy content content"}},
	{"BDAT malformed", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"BDAT x\r\n", "501"}},
		[]string{"b b@example.com 501 proxy syntax content"}},
	{"sender not listed", listedGmailUser, nil, []turn{{"MAIL FROM:<a@other.example>\r\n", "553"}}, []string{"b 553 proxy sender MAIL"}},
	{"From not listed", listedGmailUser, nil,
		[]turn{{"MAIL FROM:<good@ok.example>\r\n", "250"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {"From: a@other.example\r\n\r\n.\r\n", "553"}},
		[]string{"b b@example.com 553 proxy sender content"}},
	{"content refused", gmailUser, replyAt(sandbox.PhaseAfterEOD, "554 5.7.1 Spam"),
		[]turn{{someMail + someRcpt + "RCPT TO:<c@example.com>\r\nDATA\r\n", "250 250 250 354"}, {someContent + ".\r\n", "554"}},
		[]string{"b b@example.com 554 provider message final reply", "b c@example.com 554 provider message final reply"}},
	{"no answer", gmailUser, []sandbox.Rule{{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionClose}},
		[]turn{{someMail, "250"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {someContent + ".\r\n", "451"}},
		[]string{"t b@example.com 451 proxy lost final reply maybeAccepted"}},
	{"sent again", plainUser, []sandbox.Rule{{Phase: sandbox.PhaseMail, Action: sandbox.ActionClose, Times: 1}},
		[]turn{{someMail, "250"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {someContent + ".\r\n", "250"}},
		[]string{"d b@example.com 250 provider attempts=2"}},
	{"login refused", outlookUser, replyAt(sandbox.PhaseAuth, "535 5.7.3 Authentication unsuccessful"),
		[]turn{{someMail, "250"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {someContent + ".\r\n", "451"}},
		[]string{"t b@example.com 451 proxy token_refused AUTH"}},
	{"login refused, several", outlookUser, replyAt(sandbox.PhaseAuth, "535 5.7.3 Authentication unsuccessful"),
		[]turn{{someMail + someRcpt + "RCPT TO:<c@example.com>\r\nDATA\r\n", "250 451 451 451"}},
		[]string{"t b@example.com 451 proxy token_refused AUTH", "t c@example.com 451 proxy token_refused AUTH"}},
	{"given up by RSET", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"RSET\r\n", "250"}}, nil},
	{"given up by QUIT", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"QUIT\r\n", "221"}}, nil},
	{"given up in the content", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {someContent, ""}}, nil},
	{"given up in content that is refused", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"DATA\r\n", "354"}, {"a\nb\r\n", ""}}, nil},
	{"given up in a chunk that is refused", gmailUser, nil, []turn{{someMail, "250"}, {someRcpt, "250"}, {"BDAT 20000\r\nabc", ""}}, nil},
	{"no transaction", gmailUser, nil, []turn{{someRcpt, "503"}, {"DATA\r\n", "503"}, {"BDAT 1\r\nx", "503"}}, nil},
}

// TestRecords: each recipient of a message has one record for what the client was told of
// it, and those that were delivered are what the provider has.
func TestRecords(t *testing.T) {
	for _, tt := range outcomes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := keepRecords(t)
			k := newStack(t, l.option, func(cfg *Config, _ *upstream.Config, _ *sandbox.Config) {
				cfg.MaxRecipients, cfg.MaxMessageSize = 3, 10000
			})
			provider.Faults(t, k.sandbox, append(tt.faults, recipientFaults...)...)
			c := k.login(t, tt.user)
			for _, x := range tt.dialog {
				c.Send(x.send)
				for code := range strings.FieldsSeq(x.codes) {
					c.Expect(code)
				}
			}
			c.close()
			k.ended(t)
			records := l.expect(t, tt.records...)
			var delivered, has []string
			for _, r := range records {
				if text(r, "type") == "d" {
					delivered = append(delivered, text(r, "rcpt"))
				}
			}
			for _, m := range k.sandbox.Messages() {
				has = append(has, provider.Paths(m)...)
			}
			if !slices.Equal(delivered, has) {
				t.Errorf("delivered to %q, but the provider has %q", delivered, has)
			}
		})
	}
}

// TestRecordFields: a record has all that is known of a message.
func TestRecordFields(t *testing.T) {
	l := keepRecords(t)
	k := newStack(t, l.option)
	began := time.Now().UTC().Truncate(time.Millisecond)
	c := k.login(t, outlookUser)
	for range 2 {
		c.Cmd("MAIL FROM:<a@example.com> ENVID=QQ+2B1", "250")
		c.Cmd("RCPT TO:<b@example.com> ORCPT=rfc822;c@example.com", "250")
		c.Cmd("DATA", "354")
		c.Send("Subject: x\r\nmessage-id:\r\n <1@example.com>\r\n\r\ntext\r\n.\r\n")
		c.Expect("250")
	}
	records := l.expect(t, "d b@example.com 250 provider", "d b@example.com 250 provider")
	a, _ := k.store.Load().ByLogin([]byte(outlookUser))
	for _, r := range records {
		for field, want := range map[string]string{
			"account": a.ID, "email": outlookUser, "provider": a.Provider, "orig": "a@example.com", "orcpt": "rfc822;c@example.com", "envId": "QQ+2B1",
			"messageId": "<1@example.com>", "dlvSize": "51", "srcMta": "127.0.0.1", "listener": k.Addrs()[0].String(), "upstream": a.SMTP.String(),
			"dlvDestinationIp": a.SMTP.Host, "dlvSourceIp": "127.0.0.1", "attempts": "1", "session": text(records[0], "session"),
			"connection": text(records[0], "connection"), "hint": "", "dsnStatus": "2.0.0",
		} {
			if got := text(r, field); got != want {
				t.Errorf("%s: %q, want %q", field, got, want)
			}
		}
		if text(r, "connection") == "" || text(r, "session") == "" {
			t.Errorf("connection %q, session %q", text(r, "connection"), text(r, "session"))
		}
		queued, err := time.Parse(time.RFC3339, text(r, "timeQueued"))
		logged, err2 := time.Parse(time.RFC3339, text(r, "timeLogged"))
		if err != nil || err2 != nil || queued.Before(began) || logged.Before(queued) {
			t.Errorf("queued at %v, logged at %v, after %v", text(r, "timeQueued"), text(r, "timeLogged"), began)
		}
		for _, field := range []string{"waitMs", "sendMs", "answerMs", "totalMs"} {
			if v := text(r, field); v == "" || strings.HasPrefix(v, "-") {
				t.Errorf("%s is %q", field, v)
			}
		}
	}
}

// switchedOrders has all accounts paused while it is on.
type switchedOrders struct{ on atomic.Bool }

func (o *switchedOrders) Held(string) (string, bool) { return "paused by an operator", o.on.Load() }

// TestRecordsOfOrders: what the proxy refuses because of its state is recorded as well.
func TestRecordsOfOrders(t *testing.T) {
	l, orders := keepRecords(t), new(switchedOrders)
	k := newStack(t, l.option, func(cfg *Config, _ *upstream.Config, _ *sandbox.Config) {
		cfg.Orders, cfg.Listeners[0].MaxMessages = orders, 1
	})
	removed, paused, c := k.login(t, outlookUser), k.login(t, plainUser), k.login(t, gmailUser)
	orders.on.Store(true)
	paused.Cmd("MAIL FROM:<a@example.com> SIZE=5", "451 4.7.0 paused")
	orders.on.Store(false)
	c.Mail("a@example.com", "b@example.com")
	c.Data(someContent, "250")
	c.Cmd("MAIL FROM:<c@example.com>", "421")
	removed.Cmd("MAIL FROM:<d@example.com>", "250")
	removed.Cmd("RCPT TO:<b@example.com>", "250")
	k.reload(t, gmailUser)
	removed.Data(someContent, "250")
	records := l.expect(t, "t 451 proxy paused MAIL", "d b@example.com 250 provider", "t 421 proxy session MAIL", "d b@example.com 250 provider")
	for i, want := range []struct{ from, size, email, hint string }{
		{"a@example.com", "5", plainUser, "account-paused"}, {"a@example.com", "37", gmailUser, ""}, {"c@example.com", "", gmailUser, "messages-per-connection"}, {"d@example.com", "37", outlookUser, ""},
	} {
		r := records[i]
		if text(r, "orig") != want.from || text(r, "dlvSize") != want.size || text(r, "email") != want.email || text(r, "hint") != want.hint {
			t.Errorf("record %v, want %v", r, want)
		}
	}
}

// TestRecordsOfQueue: a message that finds no room in the queue has its record.
func TestRecordsOfQueue(t *testing.T) {
	l := keepRecords(t)
	k := newStack(t, l.option, func(_ *Config, up *upstream.Config, _ *sandbox.Config) { up.MaxWaiting, up.GlobalConcurrency = 1, 1 })
	provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, For: sandbox.Duration(500 * time.Millisecond)})
	clients := []*client{k.login(t, gmailUser), k.login(t, gmailUser), k.login(t, gmailUser)}
	for i, c := range clients {
		c.Mail("a@example.com", fmt.Sprintf("r%d@example.com", i))
		c.Cmd("DATA", "354")
		c.Send(someContent + ".\r\n")
		switch i {
		case 0:
			provider.Fired(t, k.sandbox, "think", 1)
		case 1:
			testkit.Eventually(t, "the second message waits", func() bool { return k.back.Metric(t, "upstream_queue_depth") == 1 })
		case 2:
			c.Expect("451 4.3.2")
		}
	}
	clients[0].Expect("250")
	clients[1].Expect("250")
	l.expect(t, "t r2@example.com 451 proxy queue_full queue", "d r0@example.com 250 provider", "d r1@example.com 250 provider")
}

// TestRecordsOfGone: what becomes of a message whose client has gone is recorded, as late.
func TestRecordsOfGone(t *testing.T) {
	for _, tt := range []struct{ reply, want string }{
		{"", "d b@example.com 250 provider late|d c@example.com 250 provider late"},
		{"554 5.7.1 Spam", "b b@example.com 554 provider message final reply late|b c@example.com 554 provider message final reply late"},
	} {
		l := keepRecords(t)
		k := newStack(t, l.option)
		think := sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, For: sandbox.Duration(200 * time.Millisecond)}
		if tt.reply != "" {
			think.Action, think.Reply, think.Delay = sandbox.ActionReply, tt.reply, think.For
		}
		provider.Faults(t, k.sandbox, think)
		c := k.login(t, gmailUser)
		c.Mail("a@example.com", "b@example.com", "c@example.com")
		c.Cmd("DATA", "354")
		c.Send(someContent + ".\r\n")
		provider.Fired(t, k.sandbox, "think", 1)
		c.Reset()
		testkit.Eventually(t, "the answer has come", func() bool { return k.back.Metric(t, "smtp_final_replies_lost_total") == 1 })
		l.expect(t, strings.Split(tt.want, "|")...)
	}
}
