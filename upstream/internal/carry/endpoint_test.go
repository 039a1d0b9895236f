package carry

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
)

// TestWear: which limit on the messages of a connection comes of what was seen.
func TestWear(t *testing.T) {
	refused := func(n int) func(*endpoint, time.Time) { return func(e *endpoint, now time.Time) { e.refuses(n, now) } }
	closed := func(n int) func(*endpoint, time.Time) { return func(e *endpoint, now time.Time) { e.ends(n, now) } }
	carried := func(n int) func(*endpoint, time.Time) { return func(e *endpoint, _ time.Time) { e.carries(n) } }
	type seen = []func(*endpoint, time.Time)
	for _, tt := range []struct {
		name string
		seen seen
		want int
	}{
		{"nothing", nil, 0},
		{"once", seen{refused(10)}, 0},
		{"twice", seen{refused(10), refused(10)}, 10},
		{"at different counts", seen{refused(10), refused(9), refused(10)}, 0},
		{"twice in a row", seen{refused(10), refused(9), refused(9)}, 9},
		{"after one message", seen{refused(1), refused(1), refused(1)}, 0},
		{"closed after one message", seen{closed(1), closed(1)}, 1},
		{"after two messages", seen{refused(2), refused(2)}, 2},
		{"closed and refused", seen{closed(5), refused(5)}, 5},
		{"more was carried between", seen{refused(10), carried(11), refused(10)}, 0},
		{"as many were carried between", seen{refused(10), carried(10), refused(10)}, 10},
		{"more was carried since", seen{refused(10), refused(10), carried(11)}, 0},
		{"lower since", seen{refused(10), refused(10), refused(4), refused(4)}, 4},
		{"lower once", seen{refused(10), refused(10), refused(4)}, 10},
	} {
		e, now := &endpoint{log: zap.NewNop()}, time.Now()
		for _, f := range tt.seen {
			f(e, now)
		}
		if got := e.most(now.Add(wearMemory - 1)); got != tt.want {
			t.Errorf("%s: the limit is %d, want %d", tt.name, got, tt.want)
		}
		if got := e.most(now.Add(wearMemory)); got != 0 {
			t.Errorf("%s: the limit is %d after an hour", tt.name, got)
		}
		e.ends(7, now.Add(wearMemory))
		if got := e.most(now.Add(wearMemory)); got != 0 {
			t.Errorf("%s: the limit is %d for what was seen once, an hour later", tt.name, got)
		}
	}
}

// TestAvoidBDAT: for 24 hours after the last time that it did not work.
func TestAvoidBDAT(t *testing.T) {
	r, now := &Relay{log: zap.NewNop()}, time.Now()
	e := r.endpoint("smtp.example.com:587")
	if e.without(now) != 0 {
		t.Error("BDAT is avoided without a reason")
	}
	e.avoidBDAT(now)
	e.avoidBDAT(now.Add(time.Hour))
	if r.endpoint("smtp.example.com:587") != e || r.endpoint("smtp.example.net:587").without(now) != 0 {
		t.Error("what is known of endpoints is mixed up")
	}
	if last := now.Add(time.Hour + plainMemory); e.without(last.Add(-1)) != codec.ExtCHUNKING|codec.ExtBINARYMIME || e.without(last) != 0 {
		t.Error("BDAT is not avoided for 24 hours")
	}
}
