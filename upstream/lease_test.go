package upstream

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// leased is a relay whose mailboxes may use what a test says.
func leased(t *testing.T, first fakeGrant, change func(*setup)) (*fixture, *fakePool) {
	t.Helper()
	p := newFakePool(first)
	f := newFixture(t, func(s *setup) {
		s.relay.Share = p
		if change != nil {
			change(s)
		}
	})
	t.Cleanup(func() {
		f.close()
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.boxes) > 0 {
			t.Errorf("%d keys are not left by a closed relay", len(p.boxes))
		}
	})
	return f, p
}

// boxOf returns the part in the mailbox of a, which it waits for.
func (f *fixture) boxOf(p *fakePool, a *account.Account) (b *fakeBox) {
	f.t.Helper()
	f.until(func() bool { b = p.box(a.Identity()); return b != nil })
	return b
}

// start submits a message, for which the answer comes later.
func (f *fixture) start(a *account.Account) client {
	c := newClient()
	f.startFor(c, a)
	return c
}

// startFor submits a message, whose answer c gets.
func (f *fixture) startFor(c client, a *account.Account) {
	f.t.Helper()
	tx, _ := f.message(a, "to@example.com", "started end\r\n")
	tx.Done = c
	if err := f.trySubmit(tx); err != nil {
		f.t.Fatal(err)
	}
}

// answered waits for the answer, and returns the code.
func answered(t *testing.T, c client) string {
	t.Helper()
	ans := c.next(t)
	defer ans.tx.Release()
	return code(ans.res.Reply)
}

// wantsSlots waits until the relay has said that it has so many connections, and could use
// so many.
func (f *fixture) wantsSlots(b *fakeBox, have, busy, want int) {
	f.t.Helper()
	testkit.Eventually(f.t, fmt.Sprintf("a report of %d, %d, %d", have, busy, want), func() bool {
		is := b.is()
		return is.have == have && is.busy == busy && is.want == want
	})
}

// TestSlots: a message waits until other processes leave its mailbox a connection, and says
// so. Without one no connection is opened.
func TestSlots(t *testing.T) {
	f, p := leased(t, openGrant(0), nil)
	a := f.accounts[0]
	one, two := f.start(a), f.start(a)
	b := f.boxOf(p, a)
	f.wantsSlots(b, 0, 0, 2)
	if n := f.box.Stats().Connections; n != 0 {
		t.Fatalf("%d connections without a slot", n)
	}
	if is := b.is(); is.slots != 3 {
		t.Errorf("the limit is said to be %d", is.slots)
	}
	b.set(func(g *fakeGrant) { g.slots = 1 })
	for _, c := range []client{one, two} {
		if got := answered(t, c); got != "250 2.0.0" {
			t.Error(got)
		}
	}
	f.wantsSlots(b, 1, 0, 1)
	if n := f.box.AccountStats(a.Email).MaxOpen; n != 1 {
		t.Errorf("%d connections with one slot", n)
	}
}

// TestSlotGoesAway: the slot for a connection goes away after it was seen, before the store
// could know that it is used. Nothing is opened.
func TestSlotGoesAway(t *testing.T) {
	f, p := leased(t, openGrant(0), nil)
	a := f.accounts[0]
	c := f.start(a)
	b := f.boxOf(p, a)
	b.mu.Lock()
	b.onOpen = func(b *fakeBox) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.grant.slots, b.onOpen = 0, nil
	}
	b.mu.Unlock()
	b.set(func(g *fakeGrant) { g.slots = 1 })
	f.until(func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.onOpen == nil })
	f.wantsSlots(b, 0, 0, 1)
	if n := f.box.Stats().Connections; n != 0 {
		t.Fatalf("%d connections", n)
	}
	b.set(func(g *fakeGrant) { g.slots = 1 })
	if got := answered(t, c); got != "250 2.0.0" {
		t.Error(got)
	}
}

// holding is an upstream that answers each message when the test says so.
type holding struct {
	*script
	came chan struct{} // a message is there
	take chan struct{} // it is taken
}

func newHolding(t *testing.T) *holding {
	h := &holding{came: make(chan struct{}, 100), take: make(chan struct{}, 100)}
	h.script = newScript(t, func(c *tls.Conn, _, _ int64) bool {
		h.came <- struct{}{}
		<-h.take
		return say(c, threeReplies)
	})
	return h
}

// TestGrantIsLowered: parked connections above it are closed at once, the oldest first; those
// that carry a message after it, which is delivered. What waits goes on with what is left.
func TestGrantIsLowered(t *testing.T) {
	for _, tt := range []struct {
		name                string
		busy, parked, grant int
		waiting             int
		have                int // at once
		then                int // after the messages
	}{
		{"all are parked", 0, 3, 1, 0, 1, 1},
		{"all are parked, none is left", 0, 3, 0, 0, 0, 0},
		{"enough are parked", 1, 2, 2, 0, 2, 2},
		{"more than are parked", 2, 1, 1, 0, 2, 1},
		{"all are busy", 3, 0, 1, 0, 3, 1},
		{"all are busy, none is left", 3, 0, 0, 0, 3, 0},
		{"all are busy, and others wait", 3, 0, 1, 4, 3, 1},
		{"nothing is above it", 2, 1, 3, 0, 3, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, p := leased(t, openGrant(3), nil)
			h := newHolding(t)
			a := h.account(f.accounts[0])
			answers := make(client, 10)
			send := func(n int) {
				for range n {
					f.startFor(answers, a)
				}
			}
			end := func(n int) {
				for range n {
					h.take <- struct{}{}
				}
				for range n {
					if got := answered(t, answers); got != "250 2.0.0" {
						t.Error(got)
					}
				}
			}
			send(3)
			for range 3 {
				testkit.Receive(t, "a message", h.came)
			}
			end(tt.parked)
			b := f.boxOf(p, a)
			f.until(func() bool { st := f.state(a); return st.Parked == tt.parked && st.Busy == tt.busy })
			send(tt.waiting)
			b.set(func(g *fakeGrant) { g.slots = tt.grant })
			f.until(func() bool { return b.is().have == tt.have })
			f.until(func() bool { st := f.state(a); return st.Open == tt.have && st.Busy == tt.busy })
			end(tt.busy)
			f.until(func() bool { st := f.state(a); return st.Open == tt.then && st.Busy == min(tt.then, tt.waiting) })
			end(tt.waiting)
			f.until(func() bool { st := f.state(a); return st.Open == tt.then && st.Busy == 0 && b.is().have == tt.then })
			if n := h.logins.Load(); n != 3 {
				t.Errorf("%d logins", n)
			}
		})
	}
}

// TestOldestIsClosed: of the parked connections of a mailbox's accounts the one that was used
// longest ago is closed.
func TestOldestIsClosed(t *testing.T) {
	f, p := leased(t, openGrant(3), nil)
	h := newHolding(t)
	accounts := shared(f, 2)
	one, two := h.account(accounts[0]), h.account(accounts[1])
	for _, a := range []*account.Account{two, one} {
		h.take <- struct{}{}
		if got := answered(t, f.start(a)); got != "250 2.0.0" {
			t.Fatal(got)
		}
	}
	f.boxOf(p, one).set(func(g *fakeGrant) { g.slots = 1 })
	f.until(func() bool { return f.state(two).Open == 0 })
	if n := f.state(one).Parked; n != 1 {
		t.Errorf("%d connections of the account that was used last", n)
	}
}

// permitCases are the kinds of permits, with the limit that they are for, and the reply when there
// are none.
var permitCases = []struct {
	kind share.Kind
	set  func(*account.Limits)
	code string
	text string
}{
	{share.MessagesPerMinute, func(l *account.Limits) { l.MessagesPerMinute = 30 }, "451 4.7.1", "30 messages a minute"},
	{share.MessagesPerHour, func(l *account.Limits) { l.MessagesPerHour = 30 }, "451 4.7.1", "30 messages an hour"},
	{share.MessagesPerDay, func(l *account.Limits) { l.MessagesPerDay = 30 }, "452 4.7.1", "30 messages a day"},
	{share.RecipientsPerDay, func(l *account.Limits) { l.RecipientsPerDay = 30 }, "452 4.7.1", "30 recipients a day"},
	{share.LoginsPerMinute, func(l *account.Limits) { l.LoginsPerMinute = 30 }, "451 4.7.1", "30 logins a minute"},
}

// TestPermits: a message waits for its permits, whatever they are for, and says so. If there are
// none for a while, it gets the reply of the limit; if the store is silent, that.
func TestPermits(t *testing.T) {
	later := func(k share.Kind, after time.Duration) func(*fakeGrant) {
		return func(g *fakeGrant) { g.none[k] = time.Now().Add(after) }
	}
	for _, tt := range permitCases {
		k := tt.kind
		first := openGrant(3)
		first.free[k] = 0
		for _, end := range []struct {
			name    string
			acquire time.Duration
			change  func(*fakeGrant) // nil: nothing comes
			want    string
		}{
			{"they come", time.Minute, func(g *fakeGrant) { g.free[k] = 1 }, "250 2.0.0"},
			{"some are free soon", time.Minute, later(k, 20*time.Second), ""},
			{"none are free for long", 50 * time.Millisecond, later(k, 20*time.Second), tt.code},
			{"no answer comes", 50 * time.Millisecond, nil, "451 4.3.0"},
			{"the store is silent", time.Minute, func(g *fakeGrant) { g.err = share.ErrOutage }, "451 4.3.0"},
		} {
			t.Run(fmt.Sprintf("%s, %s", tt.text, end.name), func(t *testing.T) {
				f, p := leased(t, first, func(s *setup) { tt.set(&s.limits); s.limits.AcquireTimeout = end.acquire })
				a := f.accounts[0]
				c := f.start(a)
				b := f.boxOf(p, a)
				if end.change != nil {
					testkit.Eventually(t, "a wish", func() bool { return b.is().wants[k] == 1 })
					b.set(end.change)
				}
				if end.want == "" { // it waits
					f.wantsSlots(b, 0, 0, 1)
					b.set(func(g *fakeGrant) { g.free[k], g.none[k] = 1, time.Time{} })
					end.want = "250 2.0.0"
				}
				ans := c.next(t)
				if code(ans.res.Reply) != end.want {
					t.Errorf("reply %v, want %s", ans.res.Reply, end.want)
				}
				if end.want == tt.code && !strings.Contains(ans.res.Reply.Text, tt.text+" for this account; try again in ") {
					t.Errorf("reply %v, want %q", ans.res.Reply, tt.text)
				}
				ans.tx.Release()
				switch {
				case end.want == "250 2.0.0":
					all := [share.NumKinds]int{1, 1, 1, 1, 1}
					if k == share.LoginsPerMinute { // nothing asks for messages to be counted
						all = [share.NumKinds]int{share.LoginsPerMinute: 1}
					}
					testkit.Eventually(t, "the end of the use of permits", func() bool {
						used, counted := b.permits()
						return used == [share.NumKinds]int{} && counted == all
					})
				case end.change != nil: // the next one need not wait to be told
					f.refusedFor(a, end.want)
				}
				want := [share.NumKinds]int{}
				want[k] = 30
				if got := b.is().permits; got != want {
					t.Errorf("the limits are said to be %d", got)
				}
			})
		}
	}
}

// TestSettled: what the provider does not count gives its permits back.
func TestSettled(t *testing.T) {
	f, p := leased(t, openGrant(3), func(s *setup) { s.limits.MessagesPerDay, s.limits.RecipientsPerDay = 30, 30 })
	a := f.accounts[0]
	provider.Faults(t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "bad@example.com", Action: sandbox.ActionReply, Reply: "550 5.1.1 no"})
	if res := f.send(a, "bad@example.com", "a\r\n"); res.Reply.Code != 550 {
		t.Fatal(res.Reply)
	}
	if _, final := dialog(f, [][]string{{"a@x.test", "bad@example.com", "c@x.test"}, {"d@x.test"}}, "b\r\n"); final.Code != 250 {
		t.Fatal(final)
	}
	tx, c := f.envelope(a, "a@x.test", "b@x.test")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	c.next(t).tx.Release() // aborted
	b := f.boxOf(p, a)
	f.until(func() bool { used, _ := b.permits(); return used == [share.NumKinds]int{} })
	_, counted := b.permits()
	if counted[share.LoginsPerMinute] = 0; counted != [share.NumKinds]int{1, 1, 1, 3, 0} {
		t.Errorf("counted: %d", counted)
	}
}

// TestRecipientsNeedPermits: a message begins when all of its recipients have theirs. Those that
// come later, and find none, are to be sent in another transaction, unless the limit is reached.
func TestRecipientsNeedPermits(t *testing.T) {
	for _, tt := range []struct {
		name string
		free int
		then func(*fakeGrant)
		want []string
	}{
		{"all have one", 4, nil, []string{"250", "250", "250", "250"}},
		{"the later ones have none", 2, nil, []string{"250", "250", "452 4.5.3", "452 4.5.3"}},
		{"one later one has none", 3, nil, []string{"250", "250", "250", "452 4.5.3"}},
		{"they wait for theirs", 1, func(g *fakeGrant) { g.free[share.RecipientsPerDay] = 4 }, []string{"250", "250", "250", "250"}},
		{"there are no more", 1, func(g *fakeGrant) { g.none[share.RecipientsPerDay] = time.Now().Add(time.Hour) },
			[]string{"250", "452 4.7.1", "452 4.7.1", "452 4.7.1"}},
		{"the store falls silent", 2, func(g *fakeGrant) { g.err = share.ErrOutage }, []string{"250", "250", "451 4.3.0", "451 4.3.0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first := openGrant(3)
			first.free[share.RecipientsPerDay] = tt.free + 1
			f, p := leased(t, first, func(s *setup) { s.limits.RecipientsPerDay = 30 })
			a := f.accounts[0]
			f.sendOK(a, "leaves a connection that is parked\r\n")
			f.until(func() bool { return f.state(a).Parked == 1 })
			tx, c := f.envelope(a, "a@x.test", "b@x.test")
			tx.FirstAnswered = false
			if err := f.trySubmit(tx); err != nil {
				t.Fatal(err)
			}
			b := f.boxOf(p, a)
			if tt.free == 1 {
				testkit.Eventually(t, "a wish", func() bool { return b.is().wants[share.RecipientsPerDay] == 2 })
				b.set(tt.then)
			}
			c.next(t)
			if tt.free > 1 && tt.then != nil {
				b.set(tt.then)
			}
			for _, to := range []string{"c@x.test", "d@x.test"} {
				tx.AddRcpt(codec.RcptArgs{Path: []byte(to)})
			}
			if err := f.goOn(tx); err != nil {
				t.Fatal(err)
			}
			c.next(t)
			var got []string
			for i, r := range tx.Rcpts {
				got = append(got, code(r.Reply)[:min(len(tt.want[i]), len(code(r.Reply)))])
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("recipients %q, want %q", got, tt.want)
			}
			tx.Content = content(t, "body\r\n")
			if err := f.goOn(tx); err != nil {
				t.Fatal(err)
			}
			if got := answered(t, c); got != "250 2.0.0" {
				t.Error(got)
			}
			n := 0
			for _, w := range tt.want {
				if w == "250" {
					n++
				}
			}
			testkit.Eventually(t, fmt.Sprintf("%d recipients that count", n), func() bool {
				used, counted := b.permits()
				return used == [share.NumKinds]int{} && counted[share.RecipientsPerDay] == n+1
			})
		})
	}
}

// TestEndOfLease: after it, messages are ended that the store does not know of, unless the end of
// their content has left. Nothing new begins, and nothing waits.
func TestEndOfLease(t *testing.T) {
	over := func(messages int) func(*fakeGrant) {
		return func(g *fakeGrant) { *g = fakeGrant{messages: messages, err: share.ErrOutage} }
	}
	t.Run("the end of the content has left", func(t *testing.T) {
		f, p := leased(t, openGrant(1), nil)
		h := newHolding(t)
		a := h.account(f.accounts[0])
		one := f.start(a)
		testkit.Receive(t, "a message", h.came)
		two := f.start(a)
		b := f.boxOf(p, a)
		b.set(over(0))
		if got := answered(t, two); got != "451 4.3.0" { // it waited
			t.Error(got)
		}
		if res := f.send(a, "to@example.com", "at once end\r\n"); res.Reply.String() != "451 4.3.0 The store of the shared limits does not answer, try again later" {
			t.Error(res.Reply)
		}
		h.take <- struct{}{}
		if got := answered(t, one); got != "250 2.0.0" {
			t.Error(got)
		}
		f.wantsSlots(b, 0, 0, 0)
		b.set(func(g *fakeGrant) { *g = openGrant(1) })
		h.take <- struct{}{}
		if got := answered(t, f.start(a)); got != "250 2.0.0" {
			t.Error(got)
		}
	})
	for known := range 3 {
		t.Run(fmt.Sprintf("%d of 2 messages are known", known), func(t *testing.T) {
			f, p := leased(t, openGrant(2), nil)
			came, goOn := make(chan struct{}, 10), make(chan struct{})
			s := newStub(t, func(c *tls.Conn) {
				if !logIn(c, offerPlain) {
					return
				}
				for n, line := range []string{"250 2.1.0 OK\r\n", "250 2.1.5 OK\r\n", "354 go on\r\n", "250 2.0.0 OK\r\n"} {
					if _, err := c.Read(make([]byte, 4096)); err != nil {
						return
					}
					if n == 1 {
						came <- struct{}{}
						<-goOn
					}
					if !say(c, line) {
						return
					}
				}
			})
			a := s.account(f.accounts[0])
			running := []client{f.start(a), f.start(a)}
			for range running {
				testkit.Receive(t, "RCPT", came)
			}
			f.boxOf(p, a).set(over(known))
			f.until(func() bool { return f.state(a).Busy == known })
			close(goOn)
			codes := []string{answered(t, running[0]), answered(t, running[1])}
			slices.Sort(codes)
			want := []string{"250 2.0.0", "250 2.0.0", "451 4.3.0", "451 4.3.0"}[2-known : 4-known]
			if !slices.Equal(codes, want) {
				t.Errorf("%q, want %q", codes, want)
			}
		})
	}
}

// TestLargestLimit: several accounts of a mailbox have the largest limit of them; none is larger
// than all.
func TestLargestLimit(t *testing.T) {
	f, p := leased(t, openGrant(3), func(s *setup) { s.accounts, s.relay.Shards = 3, 1 })
	accounts := shared(f, 3)
	expect := func(what string, slots int, permits [share.NumKinds]int) {
		t.Helper()
		if is := f.boxOf(p, accounts[0]).is(); is.slots != slots || is.permits != permits {
			t.Errorf("%s: limits of %d and %d, want %d and %d", what, is.slots, is.permits, slots, permits)
		}
	}
	first, second := *accounts[0], *accounts[1]
	first.Limits.MaxConnections, first.Limits.MessagesPerMinute, first.Limits.RecipientsPerDay = 2, 10, 100
	second.Limits.MaxConnections, second.Limits.MessagesPerMinute, second.Limits.RecipientsPerDay = 5, 7, 100
	f.sendOK(&first, "a\r\n")
	expect("one account", 2, [share.NumKinds]int{10, 0, 0, 100, 0})
	f.sendOK(&second, "b\r\n")
	expect("two accounts", 5, [share.NumKinds]int{10, 0, 0, 100, 0})
	third := *accounts[2]
	third.Limits.MaxConnections, third.Limits.MessagesPerMinute = 0, 0
	third.Limits.RecipientsPerDay = 200
	f.sendOK(&third, "c\r\n")
	expect("one without limits", 0, [share.NumKinds]int{0, 0, 0, 200, 0})
	lower := third
	lower.Limits.MaxConnections, lower.Limits.MessagesPerMinute, lower.Limits.RecipientsPerDay = 1, 1, 1
	f.refusedFor(&lower, "452 4.7.1")
	expect("after a reload", 5, [share.NumKinds]int{10, 0, 0, 100, 0})
}

// TestHoursAreTold: what was counted before the process began is told to the store, that of a
// mailbox which the account has left too.
func TestHoursAreTold(t *testing.T) {
	hour := time.Now().Unix() / 3600
	store := &memoryStore{hours: make(map[string]map[int64][2]uint32)}
	f, p := leased(t, openGrant(3), func(s *setup) { s.relay.Quota, s.limits.MessagesPerDay, s.limits.RecipientsPerDay = store, 30, 30 })
	a := f.accounts[0]
	store.hours[a.Identity()] = map[int64][2]uint32{hour - 2: {3, 5}}
	f.sendOK(a, "a\r\n")
	if got := f.boxOf(p, a).is().hours; len(got) != 1 || got[0] != (share.Hour{Number: hour - 2, Messages: 3, Recipients: 5}) {
		t.Errorf("hours %v", got)
	}
	changed := *a
	changed.AuthIdentity = "new@identity.test"
	snapshot, err := account.NewSnapshot([]*account.Account{&changed})
	if err != nil {
		t.Fatal(err)
	}
	f.relay.Retain(snapshot)
	var messages, recipients uint32
	b := f.boxOf(p, &changed)
	f.until(func() bool {
		messages, recipients = 0, 0
		for _, h := range b.is().hours {
			messages, recipients = messages+h.Messages, recipients+h.Recipients
		}
		return messages > 0
	})
	if messages != 4 || recipients != 6 {
		t.Errorf("%d messages and %d recipients are told of, want 4 and 6", messages, recipients)
	}
}

// TestExpected: a client that has logged in is likely to send: its account asks for what a message
// needs. A connection is opened for the message alone.
func TestExpected(t *testing.T) {
	first := openGrant(0)
	first.free = [share.NumKinds]int{}
	f, p := leased(t, first, func(s *setup) { s.limits.MessagesPerMinute = 100 })
	a := f.accounts[0]
	onLoop(f.loop, func() { f.relay.Expect(a, f.loop) })
	b := f.boxOf(p, a)
	f.wantsSlots(b, 0, 0, 1)
	if got := b.is().wants; got != [share.NumKinds]int{1, 1, 1, 1, 1} {
		t.Errorf("wants %d", got)
	}
	b.set(func(g *fakeGrant) { *g = openGrant(1) })
	if n := f.box.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
	f.sendOK(a, "a\r\n")
	f.wantsSlots(b, 1, 0, 1)
	onLoop(f.loop, func() { f.relay.Expect(a, f.loop) }) // it has a connection
	if got := b.is(); got.want != 1 || got.wants != [share.NumKinds]int{} {
		t.Errorf("an account with a connection wants %+v", got)
	}
}

// TestPrewarmWaits: connections ahead of mail are opened when other processes leave room.
func TestPrewarmWaits(t *testing.T) {
	f, p := leased(t, openGrant(0), func(s *setup) { s.relay.PrewarmConnections, s.relay.PrewarmRate = 1, 1000 })
	snapshot, err := account.NewSnapshot(f.accounts[:1])
	if err != nil {
		t.Fatal(err)
	}
	f.relay.Prewarm(snapshot, []*loop.Loop{f.loop})
	b := f.boxOf(p, f.accounts[0])
	f.wantsSlots(b, 0, 0, 1)
	b.set(func(g *fakeGrant) { g.slots = 1 })
	f.until(func() bool { return f.box.AccountStats(f.accounts[0].Email).Open == 1 })
}
