package ledger

import (
	"errors"
	"slices"
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
)

func TestClaims(t *testing.T) {
	const s, ttl = time.Second, 30 * time.Second
	ms := uint64(start.UnixMilli())
	a, c := nodeOf("a"), nodeOf("c")
	tests := []struct {
		name  string
		reset bool
		do    func(b *bench)
	}{
		{"one at a time; the other gets what was published", false, func(b *bench) {
			b.claim(0, a, ttl, ms, "", 0)
			b.claim(s, c, ttl, 0, "", 0)
			b.commit(2*s, a, ms, "one", true)
			b.claim(3*s, c, ttl, ms+3000, "one", ms+2000)
			b.told("published")
		}},
		{"a repeated claim keeps its fence", false, func(b *bench) {
			b.claim(0, a, ttl, ms, "", 0)
			b.claim(20*s, a, ttl, ms, "", 0)
			b.claim(45*s, c, ttl, 0, "", 0)
			b.claim(50*s, c, ttl, ms+50000, "", 0)
		}},
		{"a claim that ran out holds until another is given", false, func(b *bench) {
			b.claim(0, a, ttl, ms, "", 0)
			b.commit(31*s, a, ms, "late", true)
			b.claim(40*s, a, ttl, ms+40000, "late", ms+31000)
			b.claim(70*s, c, ttl, ms+70000, "late", ms+31000)
			b.commit(71*s, a, ms+40000, "lost", false)
			b.commit(72*s, c, ms+70000, "good", true)
			b.record("good", ms+72000)
			b.told("published published")
		}},
		{"a repeated commit is held and changes nothing", false, func(b *bench) {
			b.claim(0, a, ttl, ms, "", 0)
			b.commit(s, a, ms, "one", true)
			b.commit(2*s, a, ms, "again", true)
			b.record("one", ms+1000)
			b.told("published")
		}},
		{"an abandoned claim is free, and who waits is told", false, func(b *bench) {
			b.claim(0, a, ttl, ms, "", 0)
			b.abandon(s, a, ms+5)
			b.claim(s, c, ttl, 0, "", 0)
			b.abandon(s, a, ms)
			b.abandon(s, a, ms)
			b.commit(s, a, ms, "none", false)
			b.claim(s, c, ttl, ms+1000, "", 0)
			b.told("published")
		}},
		{"fences rise within a millisecond, and no fence commits nothing", false, func(b *bench) {
			b.claim(0, a, ttl, ms, "", 0)
			b.commit(0, a, 0, "none", false)
			b.commit(0, a, ms, "one", true)
			b.claim(0, c, ttl, ms+1, "one", ms)
			b.commit(0, c, ms+1, "two", true)
			b.record("two", ms+1)
			b.told("published published")
		}},
		{"after a reset none is given for a time, and a fence of before holds", true, func(b *bench) {
			b.claim(s, a, ttl, 0, "", 0)
			b.commit(2*s, c, ms-5000, "from before", true)
			b.claim(15*s, a, ttl, ms+15000, "from before", ms+2000)
			b.commit(16*s, c, ms-5000, "from before", true)
			b.commit(16*s, c, ms-4000, "from before, lost", false)
			b.told("published")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.do(newBench(t, Config{Reset: tt.reset})) })
	}
}

func (b *bench) claim(at time.Duration, n share.Node, ttl time.Duration, fence uint64, record string, version uint64) {
	b.t.Helper()
	b.at(at)
	c, err := b.Claim(b.t.Context(), n, "chain", ttl)
	if err != nil || c.Fence != fence || string(c.Record) != record || c.Version != version {
		b.t.Errorf("claim of %s at %v: %+v, %v", n.Name, at, c, err)
	}
}

func (b *bench) commit(at time.Duration, n share.Node, fence uint64, record string, want bool) {
	b.t.Helper()
	b.at(at)
	if held, err := b.Commit(b.t.Context(), n, "chain", fence, []byte(record)); err != nil || held != want {
		b.t.Errorf("commit of %s at %v: held %v, %v", n.Name, at, held, err)
	}
}

func (b *bench) abandon(at time.Duration, n share.Node, fence uint64) {
	b.t.Helper()
	b.at(at)
	if err := b.Abandon(b.t.Context(), n, "chain", fence); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) record(record string, version uint64) {
	b.t.Helper()
	c, err := b.Record(b.t.Context(), "chain")
	if err != nil || c.Fence != 0 || string(c.Record) != record || c.Version != version {
		b.t.Errorf("record: %+v, %v", c, err)
	}
}

func (b *bench) told(want string) {
	b.t.Helper()
	if got := b.events(); got != want {
		b.t.Errorf("events %q, want %q", got, want)
	}
}

func TestOrders(t *testing.T) {
	ms := uint64(start.UnixMilli())
	pause := share.Order{AccountID: "x", State: "paused", At: start, Node: "a"}
	resume := share.Order{AccountID: "x", State: "active", At: start.Add(1), Node: "b"}
	seen := func(o share.Order, n uint64) share.Order { o.Seen = n; return o }
	tests := []struct {
		name   string
		orders []share.Order
		want   share.State
		number uint64
		told   string
	}{
		{"a resume that has seen the pause", []share.Order{pause, seen(resume, ms)}, "active", ms + 1, "ordered ordered"},
		{"a resume that crossed it loses", []share.Order{pause, resume}, "paused", ms, "ordered ordered"},
		{"the same, the other way", []share.Order{resume, pause}, "paused", ms + 1, "ordered ordered"},
		{"a resume that crossed a drain loses", []share.Order{{AccountID: "x", State: "draining", At: start, Node: "a"}, resume}, "draining", ms, "ordered ordered"},
		{"a repeat", []share.Order{pause, pause}, "paused", ms, "ordered"},
		{"a release leaves the state", []share.Order{pause, {AccountID: "x", Release: true, At: start.Add(time.Hour)}}, "paused", ms + 1, "ordered ordered"},
		{"numbers rise over all accounts", []share.Order{{AccountID: "y", State: "paused"}, pause}, "paused", ms + 1, "ordered ordered"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Config{})
			for _, o := range tt.orders {
				if err := b.Order(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			orders, err := b.Orders(t.Context())
			if err != nil || len(orders) == 0 || orders[0].State != tt.want || orders[0].Number != tt.number {
				t.Errorf("in force %+v, %v", orders, err)
			}
			b.told(tt.told)
		})
	}
}

func TestNodes(t *testing.T) {
	b := newBench(t, Config{})
	announce := func(at time.Duration, node, key string, protocol int, want error) {
		t.Helper()
		b.at(at)
		if err := b.Announce(t.Context(), share.Info{Node: nodeOf(node), KeyCheck: key, Protocol: protocol, Version: "1"}); !errors.Is(err, want) {
			t.Errorf("announce of %s at %v: %v", node, at, err)
		}
	}
	nodes := func(at time.Duration, want ...string) {
		t.Helper()
		b.at(at)
		infos, err := b.Nodes(t.Context())
		var got []string
		for _, i := range infos {
			got = append(got, i.Name+"/"+i.Incarnation+" "+i.Seen.Sub(start).String())
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("nodes at %v: %q, %v", at, got, err)
		}
	}
	announce(0, "b/1", "k", 1, nil)
	announce(time.Second, "a/2", "k", 1, nil)
	announce(time.Second, "a/1", "k", 1, nil)
	announce(2*time.Second, "c/1", "other", 1, share.ErrForeign)
	announce(2*time.Second, "c/1", "k", 2, share.ErrForeign)
	nodes(2*time.Second, "a/1 1s", "a/2 1s", "b/1 0s")
	announce(20*time.Second, "c/1", "k", 2, nil) // all others fell silent
	announce(21*time.Second, "b/1", "k", 1, share.ErrForeign)
	nodes(61*time.Second-1, "a/1 1s", "a/2 1s", "c/1 20s")
	nodes(61*time.Second, "c/1 20s")
}
