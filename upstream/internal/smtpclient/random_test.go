package smtpclient

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// trial is a connection to which happens what a script says, and what must be true of
// it whatever that is.
type trial struct {
	*client
	p       *provider
	script  []byte
	pending string // what the provider has said and the client has not received
	heard   strings.Builder

	honest   bool // the provider has said what SMTP has it say, and nothing else
	full     bool // the socket was
	panicked bool

	begun     int    // exchanges
	text      string // content of the last one
	under     bool   // it is under way
	open      bool   // it waits for its owner
	lost      bool   // nothing may be sent any more
	tail      string // of what the socket has taken
	taken     bool   // by the socket: the end of the content
	heardThen int    // octets, when that was taken
}

// verdict is what an owner knows of a message.
type verdict struct {
	text     string
	accepted bool
	unknown  bool
}

// FuzzConn has anything happen to a connection.
func FuzzConn(f *testing.F) {
	for i := range uint64(16) {
		f.Add(randomScript(i))
	}
	f.Fuzz(func(t *testing.T, script []byte) { runTrial(t, script[:min(len(script), 400)]) })
}

// TestRandomEvents is FuzzConn with scripts that are always the same.
func TestRandomEvents(t *testing.T) {
	n := uint64(3000)
	if testing.Short() {
		n = 300
	}
	for i := range n {
		if script := randomScript(i); !t.Run(fmt.Sprint(i), func(t *testing.T) { runTrial(t, script) }) {
			t.Fatalf("script %q", script)
		}
	}
}

// randomScript makes a script in which most of what happens is good.
func randomScript(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 25))
	script := []byte{byte(seed)}
	for range 20 + r.IntN(100) {
		if r.IntN(3) > 0 {
			script = append(script, byte(r.IntN(3)), byte(r.IntN(256)))
		} else {
			script = append(script, byte(r.IntN(32)), byte(r.IntN(256)))
		}
	}
	return script
}

// runTrial runs a script.
func runTrial(t *testing.T, script []byte) {
	if len(script) == 0 {
		return
	}
	tr := &trial{p: &provider{answers: make(map[string][]string)}, script: script[1:], honest: true}
	l := loop.NewFake(loop.Config{Log: zap.NewNop()}) // a panic while one is contained comes to it
	tr.client = newClient(t, l, offers[script[0]%4].ext)
	tr.client.Conn.owner = tr
	tr.client.write = tr.check
	var verdicts []verdict
	for tr.state != closed && len(tr.script) > 0 {
		ends := len(tr.ends)
		tr.event(tr.arg(), int(tr.arg()))
		if len(tr.ends) > ends {
			x := &tr.ends[ends]
			verdicts = append(verdicts, verdict{tr.text, x.Reply.Positive(), x.Left && x.Err != nil})
		}
	}
	tr.loop.Do(tr.Close)
	tr.p.read(strings.Join(tr.groups, ""))
	if !tr.honest {
		return
	}
	for _, v := range verdicts {
		if has := slices.Contains(tr.p.taken, v.text); has != v.accepted && !v.unknown {
			t.Errorf("accepted: %v, but the provider has it: %v", v.accepted, has)
		}
	}
}

// arg takes an octet of the script.
func (tr *trial) arg() byte {
	if len(tr.script) == 0 {
		return 0
	}
	n := tr.script[0]
	tr.script = tr.script[1:]
	return n
}

// answers are what a provider may answer, and insertions what it may not.
var (
	answersOfScripts = []string{"", ok, "550 5.1.1 no\r\n", "421 4.7.0 bye\r\n", "450-4.2.1 not\r\n450 4.2.1 now\r\n"}
	insertions       = []string{ok, "550 5.1.1 no\r\n", go354, "421 4.4.2 bye\r\n", "25", "\r\n", "garbage\r\n", ok + ok + ok, go354 + ok}
	verbs            = []string{"MAIL", "RCPT", "DATA", ".", "BDAT", "RSET", "QUIT"}
	callbacks        = []string{"answered", "ended", "cleared", "broken", "hold expired", "closed"}
)

// event has one thing happen.
func (tr *trial) event(what byte, n int) {
	switch what % 32 {
	case 0, 24, 25:
		tr.hear(len(tr.pending))
	case 1, 26, 27, 28:
		tr.send(n)
	case 2, 29:
		tr.loop.RunOnce()
	case 3:
		tr.hear(n % 50)
	case 4, 30:
		tr.hear(1)
	case 5, 31:
		tr.p.answers[verbs[n%len(verbs)]] = []string{answersOfScripts[n/8%len(answersOfScripts)], ""}
	case 6:
		tr.honest = false
		tr.pending += insertions[n%len(insertions)]
	case 7:
		tr.honest = false
		tr.pending = insertions[n%len(insertions)] + tr.pending
	case 8:
		tr.sock.EndInput()
	case 9:
		tr.sock.Break(errReset)
	case 10:
		tr.loop.Advance(time.Duration(n) * loop.Tick)
	case 11:
		tr.full, tr.sock.Room = true, n
	case 12, 13, 14:
		tr.full = true
		tr.sock.Take(n * n)
	case 15:
		tr.sock.SetUnread(loop.Unread(n % 3))
	case 16:
		write := tr.client.write
		tr.client.write = func(i int) error {
			tr.client.write = write
			if n%2 == 0 {
				return errReset
			}
			tr.panicked = true
			panic("write")
		}
	case 17:
		tr.client.on[callbacks[n%len(callbacks)]] = func() { tr.panicked = true; panic("owner") }
	case 18:
		tr.loop.Do(func() {
			if tr.state == open {
				tr.release(n%2 == 0)
			}
		})
	case 19:
		tr.loop.Do(func() {
			if tr.state == idle {
				tr.Quit()
			}
		})
	case 20:
		tr.loop.Do(func() { tr.Conn.Fail(errReset) })
	case 21:
		tr.loop.Do(tr.Close)
	case 22:
		tr.loop.SetPolled(time.Now())
	case 23:
		if n == 0 {
			tr.loop.End()
		}
	}
}

// hear has the client receive n octets of what the provider has said.
func (tr *trial) hear(n int) {
	tr.pending += tr.p.read(strings.Join(tr.groups, ""))
	tr.groups = nil
	said := tr.pending[:min(n, len(tr.pending))]
	tr.pending = tr.pending[len(said):]
	tr.heard.WriteString(said)
	tr.say(said)
}

// send begins an exchange, or goes on with one.
func (tr *trial) send(n int) {
	tr.loop.Do(func() {
		if tr.Look(time.Now()) != Ready {
			return
		}
		switch tr.state {
		case idle:
			tr.begun++
			tr.under, tr.taken, tr.text = true, false, ""
			tr.Exchange = Exchange{Mail: &codec.MailArgs{Path: []byte("from@example.com"), Size: -1}, Until: time.Now().Add(time.Hour),
				Promised: n&4 > 0}
			if n%4 == 0 {
				tr.client.add("", a, b, cc)
			} else {
				tr.client.add(tr.content(n), a)
			}
			tr.Begin()
		case open:
			tr.open = false
			if n%3 == 0 {
				tr.client.add("", "d@example.com")
			} else {
				tr.client.add(tr.content(n))
			}
			tr.Continue()
		}
	})
}

// content is content that has its like nowhere.
func (tr *trial) content(n int) string {
	tr.text = fmt.Sprintf("..message %d\r\n", tr.begun)
	if n > 200 {
		tr.text += big((n - 180) * 200)
	}
	tr.text += tr.end()
	return tr.text
}

func (tr *trial) end() string { return fmt.Sprintf("the end of %d\r\n", tr.begun) }

// check is called with each write that the socket takes.
func (tr *trial) check(n int) error {
	b := tr.groups[n]
	if tr.lost {
		tr.t.Errorf("%q is sent over a lost connection", b[:min(len(b), 50)])
	}
	if tr.tail += b; tr.text != "" && !tr.taken && strings.Contains(tr.tail, tr.end()) {
		tr.taken, tr.heardThen = true, tr.heard.Len()
	}
	tr.tail = tr.tail[max(0, len(tr.tail)-30):]
	return nil
}

// release parts with an open exchange.
func (tr *trial) release(reset bool) {
	tr.under, tr.open = false, false
	tr.Clear(reset)
}

func (tr *trial) Opened()  { tr.client.Opened() }
func (tr *trial) Cleared() { tr.client.Cleared() }
func (tr *trial) Broken()  { tr.client.Broken() }

func (tr *trial) Panicked(p any) error { return tr.client.Panicked(p) }

// Answered implements Owner.
func (tr *trial) Answered() {
	tr.open = true
	tr.client.Answered()
}

// HoldExpired implements Owner.
func (tr *trial) HoldExpired() {
	tr.client.HoldExpired()
	tr.release(true)
}

// Ended implements Owner.
func (tr *trial) Ended() {
	x := &tr.Exchange
	if !tr.under {
		tr.t.Errorf("an exchange that is not under way has ended: %s", outcome(x))
	}
	tr.under, tr.lost = false, x.Lost
	switch {
	case !x.open() && x.Reply.IsZero() == (x.Err == nil), x.open():
		tr.t.Errorf("outcome %s", outcome(x))
	case tr.panicked, errors.Is(x.Err, ErrProtocol): // nothing is known any more
	case tr.taken && !x.Left, x.Left && !tr.taken && !tr.full:
		tr.t.Errorf("Left is %v, the socket has taken the end of the content: %v", x.Left, tr.taken)
	}
	if x.Reply.Positive() {
		since := tr.heard.String()[tr.heardThen:]
		if !tr.taken || !strings.Contains(since, fmt.Sprint(x.Reply.Code)) {
			tr.t.Errorf("%v without such a reply to the content: %v, %q", x.Reply, tr.taken, since)
		}
	}
	tr.client.Ended()
	if !tr.Usable() || x.Reset {
		tr.Clear(x.Reset && tr.Usable())
	}
}

// Closed implements Owner.
func (tr *trial) Closed(err error) {
	if tr.under && !tr.open {
		tr.t.Errorf("the connection is closed, the exchange has not ended")
	}
	tr.lost = true
	tr.client.Closed(err)
}
