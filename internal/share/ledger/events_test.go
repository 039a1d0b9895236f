package ledger

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"xoauth2-proxy/internal/share"
)

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{})
		ctx, cancel := context.WithCancel(t.Context())
		var got [2][]share.Order
		errs := [2]chan error{make(chan error, 1), make(chan error, 1)}
		for i, c := range []context.Context{ctx, t.Context()} {
			go func() { errs[i] <- l.Events(c, func(e share.Event) { got[i] = append(got[i], e.Order) }) }()
		}
		synctest.Wait()
		var want []share.Order
		order := func(state share.State) {
			o := share.Order{AccountID: "x", State: state, At: time.Now(), Seen: 1 << 50}
			if err := l.Order(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			o.Number = l.number
			want = append(want, o)
		}
		order("paused")
		order("active")
		synctest.Wait()
		cancel()
		if err := <-errs[0]; !errors.Is(err, context.Canceled) {
			t.Errorf("after its context ended: %v", err)
		}
		first := slices.Clone(want)
		order("paused")
		synctest.Wait()
		if !slices.Equal(got[0], first) || !slices.Equal(got[1], want) {
			t.Errorf("got %v, want %v and %v", got, first, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-errs[1]; !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		if err := l.Events(t.Context(), func(share.Event) {}); !errors.Is(err, ErrClosed) {
			t.Errorf("begun after the end: %v", err)
		}
		if _, err := l.Renew(t.Context(), share.Node{}, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("a call after the end: %v", err)
		}
	})
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := New(Config{})
	if _, err := l.Renew(ctx, nodeOf("a"), []share.Report{{Key: "mailbox", Seq: 1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if len(l.keys) != 0 {
		t.Error("the report was executed")
	}
}

func TestRestart(t *testing.T) {
	for _, keep := range []bool{false, true} {
		b := newBench(t, Config{Epoch: "one"})
		b.report("a", share.Report{Slots: share.SlotReport{Limit: 1, Want: 1}})
		b.Restart("two", keep)
		b.at(share.TTL - time.Millisecond)
		if g := b.report("b", share.Report{Slots: share.SlotReport{Limit: 1, Want: 1}}); g.Slots != 0 {
			t.Errorf("keep %v: granted %d too early", keep, g.Slots)
		}
		if got := len(b.keys["mailbox"].rows) == 2; got != keep {
			t.Errorf("keep %v: data is there: %v", keep, got)
		}
		b.at(share.TTL)
		a, err := b.Renew(t.Context(), nodeOf("b"), []share.Report{{Key: "mailbox", Seq: 1 << 40, Slots: share.SlotReport{Limit: 1, Want: 1}}})
		if err != nil || a.Epoch != "two" || a.Grants[0].Slots != 1 {
			t.Errorf("keep %v: %+v, %v", keep, a, err)
		}
	}
}

// Calls on all goroutines at once: for the race detector, and for the sum of what is granted.
func TestConcurrentCalls(t *testing.T) {
	l := New(Config{})
	const limit = 5
	var wg sync.WaitGroup
	granted := make(chan int, 20)
	for i := range cap(granted) {
		wg.Go(func() {
			n := nodeOf(string(rune('a' + i)))
			a, err := l.Renew(t.Context(), n, []share.Report{{Key: "mailbox", Seq: 1, Slots: share.SlotReport{Limit: limit, Want: 1}}})
			if err != nil {
				t.Error(err)
				return
			}
			granted <- a.Grants[0].Slots
			_, _ = l.Claim(t.Context(), n, "chain", time.Minute)
			_ = l.Announce(t.Context(), share.Info{Node: n})
			_ = l.Order(t.Context(), share.Order{AccountID: n.Name})
			_, _ = l.Nodes(t.Context())
		})
	}
	wg.Wait()
	close(granted)
	sum := 0
	for n := range granted {
		sum += n
	}
	if sum != limit {
		t.Errorf("%d granted of %d", sum, limit)
	}
}
