package control

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// mustSet is Set where no file can fail.
func mustSet(t *testing.T, o *Orders, id string, state State, now time.Time) Order {
	t.Helper()
	order, err := o.Set(id, state, now)
	if err != nil {
		t.Error(err)
	}
	return order
}

func TestOrders(t *testing.T) {
	var o Orders
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if why, held := o.Held("a"); held || why != "" {
		t.Errorf("held without an order: %q", why)
	}
	if got := mustSet(t, &o, "a", Paused, start); got != (Order{Paused, start}) {
		t.Errorf("Set: %v", got)
	}
	if got := mustSet(t, &o, "a", Paused, start.Add(time.Hour)); got.Since != start {
		t.Errorf("paused again: since %v", got.Since)
	}
	if why, held := o.Held("a"); !held || !strings.Contains(why, "paused") {
		t.Errorf("%q, %t", why, held)
	}
	if why, held := o.Held("a/user@example.com"); !held || !strings.Contains(why, "paused") {
		t.Errorf("mailbox of a catch-all account: %q, %t", why, held)
	}
	for _, id := range []string{"", "b", "ab", "ab/c", "/a"} {
		if _, held := o.Held(id); held {
			t.Errorf("%q is held", id)
		}
	}
	mustSet(t, &o, "b", Draining, start)
	if why, held := o.Held("b"); !held || !strings.Contains(why, "drained") {
		t.Errorf("%q, %t", why, held)
	}
	if err := o.Retain(func(id string) bool { return id == "b" }); err != nil {
		t.Error(err)
	}
	if _, held := o.Held("a"); held {
		t.Error("a removed account is held")
	}
	if got := mustSet(t, &o, "b", Active, start); got != (Order{}) || o.Of("b") != (Order{}) {
		t.Errorf("resumed: %v", got)
	}
}

func TestOrdersTogether(t *testing.T) {
	var o Orders
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for range 100 {
				mustSet(t, &o, id, Paused, time.Time{})
				if _, held := o.Held(id); !held {
					t.Errorf("%s is lost", id)
				}
				mustSet(t, &o, id, Active, time.Time{})
			}
		})
	}
	wg.Wait()
}

func TestHeldAllocatesNothing(t *testing.T) {
	var o Orders
	mustSet(t, &o, "a", Paused, time.Time{})
	if n := testing.AllocsPerRun(100, func() { o.Held("a/x@example.com"); o.Held("b") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
