package share

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
)

// TestRenewals counts calls: all that is leased goes in one every 5 s, what became urgent at
// once, together with what else did in the meantime.
func TestRenewals(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		boxes := make([]Mailbox, 20)
		for i := range boxes {
			boxes[i], _ = w.join(fmt.Sprint("k", i), 3, [NumKinds]int{})
		}
		idle, _ := w.join("idle", 3, [NumKinds]int{})
		for _, b := range boxes {
			b.Report(0, 0, 1)
		}
		synctest.Wait()
		for _, b := range boxes {
			is(t, "granted", b.Connections(), 1)
			b.Report(1, 0, 1)
		}
		w.pass(RenewEvery) // the idle one is told of once
		calls := w.store.count()
		_, told := w.store.last("idle")
		w.pass(4 * RenewEvery)
		is(t, "calls in 20 s", w.store.count()-calls, 4)
		is(t, "mailboxes in a call", len(w.store.calls[w.store.count()-1]), len(boxes))
		_, n := w.store.last("idle")
		is(t, "renewals of an idle one", n, told)

		gate := make(chan error)
		w.store.set(func() { w.store.meet = func(context.Context, int) error { return <-gate } })
		calls = w.store.count()
		boxes[0].Report(1, 1, 2)
		synctest.Wait()
		for _, b := range boxes[1:5] {
			b.Report(1, 1, 2)
		}
		synctest.Wait()
		is(t, "calls at a time", w.store.count()-calls, 1)
		w.store.set(func() { w.store.meet = nil })
		gate <- nil
		synctest.Wait()
		is(t, "calls", w.store.count()-calls, 2)
		is(t, "mailboxes in the second", len(w.store.calls[w.store.count()-1]), 4)
		is(t, "granted", boxes[4].Connections(), 2)
		idle.Leave()
	})
}

// TestUrgent lists what is told at once, and what is not.
func TestUrgent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		grant  int // of the store from then on
		act    func(w *world, b Mailbox)
		urgent bool
	}{
		{"wants more", 2, func(_ *world, b Mailbox) { b.Report(2, 1, 3) }, true},
		{"wants less", 2, func(_ *world, b Mailbox) { b.Report(2, 1, 1) }, false},
		{"begins a message", 2, func(_ *world, b Mailbox) { b.Report(2, 2, 2) }, false},
		{"closes one of its own", 2, func(_ *world, b Mailbox) { b.Report(1, 1, 1) }, false},
		{"closes one that it was told to", 1, func(_ *world, b Mailbox) { b.Report(1, 1, 1) }, true},
		{"another node demands, one is parked", 2, func(w *world, _ Mailbox) { w.store.events <- Event{Kind: Demand, Key: "k"} }, true},
		{"another node demands, none is parked", 2, func(w *world, b Mailbox) {
			b.Report(2, 2, 2)
			w.store.events <- Event{Kind: Demand, Key: "k"}
		}, false},
		{"a demand for another mailbox", 2, func(w *world, _ Mailbox) { w.store.events <- Event{Kind: Demand, Key: "other"} }, false},
		{"slots became free, and none is wanted", 2, func(w *world, _ Mailbox) { w.store.events <- Event{Kind: Freed, Key: "k"} }, false},
		{"slots became free, and one is wanted", 1, func(w *world, _ Mailbox) { w.store.events <- Event{Kind: Freed, Key: "k"} }, true},
		{"another limit", 2, func(_ *world, b Mailbox) { b.Limit(4, [NumKinds]int{}) }, true},
		{"the same limit", 2, func(_ *world, b Mailbox) { b.Limit(3, [NumKinds]int{}) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				b, _ := w.join("k", 3, [NumKinds]int{})
				b.Report(0, 0, 2)
				synctest.Wait()
				b.Report(2, 1, 2)
				w.store.set(func() { w.store.grant = func(_ *Report, g *Grant) { g.Slots = tt.grant } })
				w.pass(RenewEvery)
				calls := w.store.count()
				tt.act(w, b)
				synctest.Wait()
				is(t, "told at once", w.store.count() > calls, tt.urgent)
			})
		})
	}
}

// TestStarving has no slot for a while: the mailbox asks every second.
func TestStarving(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b, changed := w.join("k", 3, [NumKinds]int{})
		w.store.set(func() { w.store.grant = func(_ *Report, g *Grant) { g.Slots = 0 } })
		b.Report(0, 0, 1)
		synctest.Wait()
		_, n := w.store.last("k")
		w.pass(10 * AskEvery)
		_, m := w.store.last("k")
		is(t, "renewals in 10 s", m-n >= 10 && m-n <= 13, true)
		before := changed()
		w.store.set(func() { w.store.grant = nil })
		w.pass(AskEvery)
		is(t, "granted", b.Connections(), 1)
		is(t, "the pool was told", changed(), before+1)
	})
}

// TestOutage has the store away at the start, and again later, for less and for more than a
// lease: one line and one count for each, and work goes on with the first answer.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, newScript())
		w.store.announce, w.store.meet = errLost, away
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		b, changed := w.join("k", 3, [NumKinds]int{})
		b.Report(0, 0, 1)
		synctest.Wait()
		is(t, "refused at once", errors.Is(b.Err(), ErrOutage), true)
		w.pass(lookEvery)
		is(t, "the pool was told", changed(), 1)
		value := func(name string) string {
			var page strings.Builder
			w.set.WritePrometheus(&page)
			for line := range strings.Lines(page.String()) {
				if got, ok := strings.CutPrefix(line, name+" "); ok {
					return strings.TrimSpace(got)
				}
			}
			return "none"
		}
		lines := func(begun, ended int) {
			t.Helper()
			is(t, "lines of a beginning", w.logs.FilterMessageSnippet("does not answer: nothing").Len(), begun)
			is(t, "lines of an end", w.logs.FilterMessageSnippet("answers again").Len(), ended)
			is(t, "share_outages_total", value("share_outages_total"), fmt.Sprint(begun))
		}
		w.pass(time.Minute)
		lines(1, 0)
		is(t, "share_connected", value("share_connected"), "0")
		w.store.set(func() { w.store.announce, w.store.meet = nil, nil })
		w.pass(beatEvery)
		is(t, "error after it", b.Err(), nil)
		is(t, "connections after it", b.Connections(), 1)
		is(t, "share_connected", value("share_connected"), "1")
		b.Report(1, 0, 1)
		lines(1, 1)
		is(t, "share_leases", value(`share_leases{kind="slots"}`), "1")

		w.store.set(func() { w.store.meet = away })
		w.pass(6 * time.Second) // less than a lease
		w.store.set(func() { w.store.meet = nil })
		w.pass(retryMost + patienceMost)
		is(t, "error", b.Err(), nil)
		is(t, "connections", b.Connections(), 1)
		lines(1, 1)

		calls := w.store.count()
		w.store.set(func() { w.store.meet = func(context.Context, int) error { return errLost } })
		w.pass(2 * time.Minute)
		lines(2, 1)
		is(t, "calls in two minutes of an outage", w.store.count()-calls < 130, true)
		w.store.set(func() { w.store.meet = nil })
		w.pass(retryMost + patienceMost)
		is(t, "error", b.Err(), nil)
		lines(2, 2)
	})
}

// TestSlowStore answers later than a node waits at first: it waits longer, and works.
func TestSlowStore(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.store.set(func() {
			w.store.meet = func(ctx context.Context, _ int) error {
				select {
				case <-time.After(300 * time.Millisecond):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		b, _ := w.join("k", 3, [NumKinds]int{})
		b.Report(0, 0, 1)
		w.pass(time.Second)
		is(t, "granted", b.Connections(), 1)
		for range 60 {
			w.pass(time.Second)
			if b.Connections() != 1 || b.Err() != nil {
				t.Fatalf("%d connections, %v", b.Connections(), b.Err())
			}
		}
		w.store.set(func() { w.store.meet = nil })
	})
}

// TestStale has the store refuse a report because its number has passed: the answer is none,
// and another report follows.
func TestStale(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b, _ := w.join("k", 3, [NumKinds]int{})
		w.store.set(func() {
			w.store.grant = func(r *Report, g *Grant) {
				w.store.grant = nil
				*g = Grant{Key: r.Key, Seq: r.Seq, Stale: true, Slots: 3}
			}
		})
		b.Report(0, 0, 3)
		synctest.Wait()
		is(t, "granted by the refusal", b.Connections(), 0)
		first, _ := w.store.last("k")
		w.pass(retryFirst)
		is(t, "granted by the answer", b.Connections(), 3)
		next, _ := w.store.last("k")
		is(t, "the number rises", next.Seq > first.Seq, true)
	})
}

// TestLeave gives a mailbox back, while the store is away too, and joins its key again: the
// numbers of its reports go on, and what had settled is told before it is forgotten.
func TestLeave(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b, _ := w.join("k", 3, of(MessagesPerMinute, 600))
		b.Want(MessagesPerMinute, 5)
		b.Report(1, 1, 1)
		synctest.Wait()
		b.Take(MessagesPerMinute)
		b.Settle(MessagesPerMinute, 1, 1)
		w.store.set(func() { w.store.meet = away })
		b.Report(0, 0, 0)
		b.Leave()
		w.pass(time.Minute)
		is(t, "kept while it is not told", w.box("k") != nil, true)
		w.store.set(func() { w.store.meet = nil })
		w.pass(retryMost + patienceMost)
		last, _ := w.store.last("k")
		p := last.Permits[MessagesPerMinute]
		is(t, "have", last.Slots.Have, 0)
		is(t, "held", p.Held, 0)
		is(t, "settled", p.Settled, 1)
		is(t, "kept", w.box("k") == nil, true)
		_, n := w.store.last("k")
		w.pass(3 * RenewEvery)
		_, m := w.store.last("k")
		is(t, "renewals after it", m, n)

		again, _ := w.join("k", 3, of(MessagesPerMinute, 600))
		again.Report(0, 0, 2)
		synctest.Wait()
		r, _ := w.store.last("k")
		is(t, "the number rises", r.Seq > last.Seq, true)
		is(t, "hours", len(r.Hours) > 0, true)
		is(t, "granted", again.Connections(), 2)

		again.Leave()
		third, _ := w.join("k", 3, [NumKinds]int{}) // before the store is told
		third.Report(0, 0, 1)
		w.pass(2 * RenewEvery)
		is(t, "kept", w.box("k") != nil, true)
		is(t, "granted", third.Connections(), 1)
	})
}

// TestClose gives back what is not in use, and nothing begins any more.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, newScript())
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		b, _ := w.join("k", 3, of(MessagesPerMinute, 600))
		b.Want(MessagesPerMinute, 5)
		b.Report(2, 1, 3)
		synctest.Wait()
		b.Take(MessagesPerMinute)
		w.Close()
		r, _ := w.store.last("k")
		p := r.Permits[MessagesPerMinute]
		is(t, "held", p.Held, 1)
		is(t, "wanted", p.Want, 1)
		is(t, "slots", r.Slots, SlotReport{Limit: 3, Have: 2, Busy: 1, Want: 2})
		is(t, "connections", b.Connections(), 0)
		is(t, "messages", b.Messages(), 1)
		is(t, "a permit", b.Take(MessagesPerMinute), false)
	})
}

// TestForeign has the store refuse the node, at the start and later.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, newScript())
		w.store.announce = fmt.Errorf("node b: %w", ErrForeign)
		if err := w.Start(); !errors.Is(err, ErrForeign) {
			t.Errorf("start: %v", err)
		}
	})
	inWorld(t, Config{}, func(w *world) {
		b, _ := w.join("k", 3, [NumKinds]int{})
		b.Report(0, 0, 1)
		synctest.Wait()
		is(t, "granted", b.Connections(), 1)
		w.store.set(func() { w.store.announce = ErrForeign })
		w.pass(beatEvery + TTL)
		is(t, "connections", b.Connections(), 0)
		is(t, "why", errors.Is(b.Err(), ErrForeign) && errors.Is(b.Err(), ErrOutage), true)
		calls := w.store.count()
		w.pass(2 * RenewEvery)
		is(t, "renewals", w.store.count(), calls)
		is(t, "lines", w.logs.FilterMessageSnippet("may not share limits").Len(), 1)
		is(t, "lines of an outage", w.logs.FilterMessageSnippet("does not answer").Len(), 0)
		w.store.set(func() { w.store.announce = nil })
		w.pass(beatEvery)
		is(t, "connections later", b.Connections(), 1)
		is(t, "error later", b.Err(), nil)
	})
}

// TestBeats has signs of life every 2 s, and orders that no event told of: each is handed on
// once, none after a later one.
func TestBeats(t *testing.T) {
	var got []uint64
	inWorld(t, Config{Ordered: func(o Order) { got = append(got, o.Number) }}, func(w *world) {
		w.pass(20 * beatEvery)
		for i, at := range w.store.beats[1:] {
			is(t, "between beats", at.Sub(w.store.beats[i]), beatEvery)
		}
		w.store.set(func() { w.store.orders = []Order{{AccountID: "a", Number: 4}, {AccountID: "b", Number: 3}} })
		w.pass(beatEvery)
		w.store.events <- Event{Kind: Ordered, Order: Order{AccountID: "a", Number: 4}}
		w.store.events <- Event{Kind: Ordered, Order: Order{AccountID: "a", Number: 2}}
		w.store.events <- Event{Kind: Ordered, Order: Order{AccountID: "c", Number: 5}}
		w.pass(5 * beatEvery)
		is(t, "orders", fmt.Sprint(got), "[4 3 5]")
		is(t, "the highest", w.Seen(), 5)
	})
}

// TestEventsLost breaks the connection of events, many times: the member listens again, less
// and less often; all is renewed, and the orders are read.
func TestEventsLost(t *testing.T) {
	var published []string
	missed := 0
	cfg := Config{
		Published: func(chain string) { published = append(published, chain) },
		Missed:    func() { missed++ },
	}
	inWorld(t, cfg, func(w *world) {
		b, _ := w.join("k", 3, [NumKinds]int{})
		b.Report(0, 0, 1)
		synctest.Wait()
		b.Report(1, 1, 1)
		_, n := w.store.last("k")
		beats := len(w.store.beats)
		w.store.broken <- struct{}{}
		w.pass(listenFirst)
		_, m := w.store.last("k")
		is(t, "renewals", m, n+1)
		is(t, "the owner was told", missed, 1)
		is(t, "beats", len(w.store.beats), beats+1)
		w.store.events <- Event{Kind: Published, Key: "chain"}
		synctest.Wait()
		is(t, "published", fmt.Sprint(published), "[chain]")

		close(w.store.broken)
		w.pass(time.Minute)
		is(t, "tries in a minute", w.store.listened > 20 && w.store.listened < 45, true)
	})
}

// TestHours counts in hours over a change of the hour, with a clock that is set back.
func TestHours(t *testing.T) {
	var h hours
	for n := int64(100); n < 140; n++ {
		h.add(Hour{n, 1, 2})
		h.add(Hour{n, 1, 2})
	}
	h.add(Hour{138, 5, 0})
	list := h.list(139)
	is(t, "hours", len(list), 25)
	is(t, "this hour", list[0], Hour{139, 2, 4})
	is(t, "the hour before", slices.Contains(list, Hour{138, 7, 4}), true)
	is(t, "an empty hour", h.list(300)[0], Hour{Number: 300})
	is(t, "hours later", len(h.list(300)), 1)
}

// BenchmarkMessage is what a message costs on its way: four permits and what the pool
// reports.
func BenchmarkMessage(b *testing.B) {
	m, box := warm(b)
	defer m.Close()
	b.ReportAllocs()
	for b.Loop() {
		message(box)
	}
}

func message(box Mailbox) bool {
	ok := box.Room(MessagesPerMinute) > 0
	for k := MessagesPerMinute; k <= RecipientsPerDay; k++ {
		ok = box.Take(k) && ok
	}
	box.Report(1, 1, 1)
	for k := MessagesPerMinute; k <= RecipientsPerDay; k++ {
		box.Settle(k, 1, 0)
	}
	box.Report(1, 0, 1)
	return ok
}

// warm returns a mailbox that has what a message needs.
func warm(tb testing.TB) (*Member, Mailbox) {
	m := NewMember(Config{Node: "a"}, newScript(), zap.NewNop(), metrics.NewSet())
	if err := m.Start(); err != nil {
		tb.Fatal(err)
	}
	changed := make(chan struct{}, 100)
	box := m.Join("k", func() { changed <- struct{}{} })
	box.Limit(3, [NumKinds]int{1e6, 1e7, 1e8, 1e8, 0})
	for k := MessagesPerMinute; k <= RecipientsPerDay; k++ {
		box.Want(k, 1000)
	}
	box.Report(0, 0, 1)
	for !message(box) {
		<-changed
	}
	return m, box
}

// TestNothingAllocated has a message on its way allocate nothing.
func TestNothingAllocated(t *testing.T) {
	m, box := warm(t)
	defer m.Close()
	if n := testing.AllocsPerRun(1000, func() { message(box) }); n >= 1 {
		t.Errorf("%v allocations a message", n)
	}
}
