package control

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOrders(t *testing.T) {
	var o Orders
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if why, held := o.Held("a"); held || why != "" {
		t.Errorf("held without an order: %q", why)
	}
	if got := o.Set("a", Paused, start); got != (Order{Paused, start}) {
		t.Errorf("Set: %v", got)
	}
	if got := o.Set("a", Paused, start.Add(time.Hour)); got.Since != start {
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
	o.Set("b", Draining, start)
	if why, held := o.Held("b"); !held || !strings.Contains(why, "drained") {
		t.Errorf("%q, %t", why, held)
	}
	o.Retain(func(id string) bool { return id == "b" })
	if _, held := o.Held("a"); held {
		t.Error("a removed account is held")
	}
	if got := o.Set("b", Active, start); got != (Order{}) || o.Of("b") != (Order{}) {
		t.Errorf("resumed: %v", got)
	}
}

func TestOrdersTogether(t *testing.T) {
	var o Orders
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for range 100 {
				o.Set(id, Paused, time.Time{})
				if _, held := o.Held(id); !held {
					t.Errorf("%s is lost", id)
				}
				o.Set(id, Active, time.Time{})
			}
		})
	}
	wg.Wait()
}

func TestHeldAllocatesNothing(t *testing.T) {
	var o Orders
	o.Set("a", Paused, time.Time{})
	if n := testing.AllocsPerRun(100, func() { o.Held("a/x@example.com"); o.Held("b") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
