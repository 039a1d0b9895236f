package carry

import (
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/smtpclient"
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

// TestAvoidBDAT: for 24 hours after the last refusal, for an hour after the last silence, or
// until the provider takes content by BDAT. Silence takes nothing from what a refusal says.
func TestAvoidBDAT(t *testing.T) {
	type step func(e *endpoint, now time.Time)
	refused := step(func(e *endpoint, now time.Time) { e.avoidBDAT(false, now) })
	silent := step(func(e *endpoint, now time.Time) { e.avoidBDAT(true, now) })
	takes := step(func(e *endpoint, _ time.Time) { e.takesBDAT() })
	all := codec.ExtCHUNKING | codec.ExtBINARYMIME
	for _, tt := range []struct {
		name   string
		steps  []step // one an hour
		lasts  time.Duration
		binary codec.Extensions // that content with BINARYMIME cannot use meanwhile
	}{
		{"nothing", nil, 0, 0},
		{"refused", []step{refused}, plainMemory, all},
		{"refused twice", []step{refused, refused}, time.Hour + plainMemory, all},
		{"refused, and taken elsewhere", []step{refused, takes}, plainMemory, all},
		{"silent", []step{silent}, silenceMemory, 0},
		{"silent, then refused", []step{silent, refused}, time.Hour + plainMemory, all},
		{"refused, then silent", []step{refused, silent}, plainMemory, all},
		{"silent, and taken elsewhere", []step{silent, takes}, 0, 0},
		{"silent for a day after it was refused", append([]step{refused}, slices.Repeat([]step{silent}, 24)...), 24*time.Hour + silenceMemory, 0},
	} {
		r, now := &Relay{log: zap.NewNop()}, time.Now()
		e, lines, binary := r.endpoint("smtp.example.com:587"), &codec.MailArgs{}, &codec.MailArgs{Body: codec.BodyBinaryMIME}
		for i, f := range tt.steps {
			f(e, now.Add(time.Duration(i)*time.Hour))
		}
		if r.endpoint("smtp.example.com:587") != e || r.endpoint("smtp.example.net:587").without(lines, now) != 0 {
			t.Error("what is known of endpoints is mixed up")
		}
		last := now.Add(tt.lasts)
		if e.without(lines, last) != 0 || e.without(binary, last) != 0 {
			t.Errorf("%s: BDAT is avoided after %v", tt.name, tt.lasts)
		}
		if tt.lasts > 0 && (e.without(lines, last.Add(-1)) != all || e.without(binary, last.Add(-1)) != tt.binary) {
			t.Errorf("%s: before %v, without %v, and %v with BINARYMIME", tt.name, tt.lasts, e.without(lines, last.Add(-1)), e.without(binary, last.Add(-1)))
		}
	}
}

// TestSlowIsNotSilent: a provider that had little time for its answer may only be slow.
func TestSlowIsNotSilent(t *testing.T) {
	for _, tt := range []struct {
		final, transaction, silence time.Duration
		want                        bool
	}{
		{5 * time.Minute, 8 * time.Minute, time.Second, false},
		{5 * time.Minute, 8 * time.Minute, 140 * time.Second, false},
		{5 * time.Minute, 8 * time.Minute, 150 * time.Second, true},
		{5 * time.Minute, 8 * time.Minute, 0, false}, // the connection was lost, or MAIL was not answered
		{5 * time.Minute, time.Minute, 20 * time.Second, false},
		{5 * time.Minute, time.Minute, 50 * time.Second, true}, // there is never more
	} {
		r := &Relay{log: zap.NewNop(), cfg: Config{FinalTimeout: tt.final, TransactionTimeout: tt.transaction}}
		c := &Conn{relay: r, at: r.endpoint("smtp.example.com:587")}
		c.client.Exchange = smtpclient.Exchange{BDAT: true, Silence: tt.silence, Err: os.ErrDeadlineExceeded}
		c.observe(GetTransaction(), time.Now())
		if got := c.at.plain.Load() != nil; got != tt.want {
			t.Errorf("silent for %v of %v, %v: BDAT is avoided: %t", tt.silence, tt.final, tt.transaction, got)
		}
	}
}
