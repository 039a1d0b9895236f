package ledger

import (
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
)

// bench is a ledger with a clock that a test moves.
type bench struct {
	t testing.TB
	*Ledger
	now   time.Time
	seq   uint64
	heard []string // events since the last look
}

// start is when tests begin: at the beginning of an hour.
var start = time.Unix(1_800_000_000, 0)

func newBench(t testing.TB, c Config) *bench {
	b := &bench{t: t, now: start}
	c.Now = func() time.Time { return b.now }
	b.Ledger = New(c)
	b.Watch(func(e share.Event) {
		b.heard = append(b.heard, [...]string{share.Demand: "demand", share.Freed: "freed", share.Published: "published", share.Ordered: "ordered"}[e.Kind])
	})
	return b
}

// at sets the clock to some time after the start.
func (b *bench) at(after time.Duration) { b.now = start.Add(after) }

// events returns what was told since the last look.
func (b *bench) events() string {
	defer func() { b.heard = nil }()
	return strings.Join(b.heard, " ")
}

// report executes one report of a node, with the next Seq.
func (b *bench) report(node string, r share.Report) share.Grant {
	b.t.Helper()
	b.seq++
	r.Key, r.Seq = "mailbox", b.seq
	a, err := b.Renew(b.t.Context(), nodeOf(node), []share.Report{r})
	if err != nil {
		b.t.Fatal(err)
	}
	return a.Grants[0]
}

// nodeOf is a node by name, or by "name/incarnation".
func nodeOf(s string) share.Node {
	name, incarnation, _ := strings.Cut(s, "/")
	return share.Node{Name: name, Incarnation: incarnation}
}

// lease is one report about connections, and what is to come of it.
type lease struct {
	at               time.Duration
	node             string
	have, busy, want int
	grant            int
	events           string
}

func TestSlots(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name   string
		limit  int
		reset  bool
		leases []lease
	}{
		{"one node gets what it wants", 3, false, []lease{
			{0, "a", 0, 0, 2, 2, ""}, {s, "a", 2, 2, 5, 3, ""}}},
		{"nothing is wanted", 3, false, []lease{
			{0, "a", 0, 0, 0, 0, ""}}},
		{"parked connections stay while none else wants", 3, false, []lease{
			{0, "a", 0, 0, 3, 3, ""}, {s, "a", 3, 0, 0, 3, ""}, {2 * s, "b", 0, 0, 0, 0, ""}, {3 * s, "a", 3, 0, 0, 3, ""}}},
		{"a grant is not lent out before its connections are open", 3, false, []lease{
			{0, "a", 0, 0, 3, 3, ""}, {0, "b", 0, 0, 1, 0, "demand"}}},
		{"an open connection is not lent out after the grant was lowered", 3, false, []lease{
			{0, "a", 0, 0, 3, 3, ""}, {s, "b", 0, 0, 3, 0, "demand"}, {2 * s, "a", 3, 3, 3, 2, ""}, {3 * s, "b", 0, 0, 3, 0, "demand"},
			{4 * s, "a", 2, 2, 3, 2, "freed"}, {4 * s, "b", 0, 0, 3, 1, ""}}},
		{"a closing connection counts until it is reported gone", 1, false, []lease{
			{0, "a", 0, 0, 1, 1, ""}, {s, "a", 1, 0, 0, 1, ""}, {s, "b", 0, 0, 1, 0, "demand"}, {s, "a", 1, 0, 0, 0, ""}, {s, "b", 0, 0, 1, 0, ""},
			{s, "a", 0, 0, 0, 0, "freed"}, {s, "b", 0, 0, 1, 1, ""}}},
		{"who wants little gets it, the others the rest", 10, false, []lease{
			{0, "a", 0, 0, 1, 1, ""}, {0, "b", 0, 0, 20, 9, ""}, {s, "c", 0, 0, 20, 0, "demand"}, {s, "b", 9, 9, 20, 5, ""},
			{2 * s, "b", 5, 5, 20, 5, "freed"}, {2 * s, "c", 0, 0, 20, 4, ""}, {12 * s, "a", 0, 0, 0, 0, "freed"}, {12 * s, "c", 4, 4, 20, 5, ""}}},
		{"no slot idles", 3, false, []lease{
			{0, "a", 0, 0, 3, 3, ""}, {0, "b", 0, 0, 3, 0, "demand"}, {0, "a", 3, 3, 3, 2, ""}, {0, "a", 2, 2, 3, 2, "freed"}, {0, "b", 0, 0, 3, 1, ""},
			{s, "a", 2, 2, 3, 2, ""}, {s, "b", 1, 1, 3, 1, ""}}},
		{"the remainder in turns", 3, false, []lease{
			{0, "a", 0, 0, 2, 2, ""}, {0, "b", 0, 0, 2, 1, ""}, {s, "a", 2, 2, 2, 2, ""}, {14 * s, "b", 1, 1, 2, 1, ""}, {14 * s, "a", 2, 2, 2, 2, ""},
			{28 * s, "b", 1, 1, 2, 1, ""}, {28 * s, "a", 2, 2, 2, 2, ""}, {42 * s, "b", 1, 1, 2, 1, ""}, {42 * s, "a", 2, 2, 2, 2, ""},
			{56 * s, "b", 1, 1, 2, 1, ""}, {56 * s, "a", 2, 2, 2, 2, ""}, {60 * s, "b", 1, 1, 2, 1, "demand"}, {60 * s, "a", 2, 2, 2, 1, ""},
			{61 * s, "a", 1, 1, 2, 1, "freed"}, {61 * s, "b", 1, 1, 2, 2, ""}, {62 * s, "a", 1, 1, 2, 1, ""}}},
		{"a parked remainder is not kept for a minute", 3, false, []lease{
			{0, "a", 0, 0, 2, 2, ""}, {0, "b", 0, 0, 2, 1, ""}, {9 * s, "a", 2, 1, 2, 2, ""}, {9 * s, "b", 1, 1, 2, 1, ""},
			{10 * s, "b", 1, 1, 2, 1, "demand"}, {10 * s, "a", 2, 1, 2, 1, ""}}},
		{"holders of the only one take turns", 1, false, []lease{
			{0, "a", 0, 0, 1, 1, ""}, {s, "b", 0, 0, 1, 0, ""}, {s, "a", 1, 1, 1, 1, ""}, {1500 * time.Millisecond, "c", 0, 0, 1, 0, ""},
			{1999 * time.Millisecond, "b", 0, 0, 1, 0, ""}, {2 * s, "b", 0, 0, 1, 0, "demand"}, {2 * s, "a", 1, 1, 1, 0, ""},
			{3 * s, "a", 0, 0, 1, 0, "freed"}, {3 * s, "c", 0, 0, 1, 0, ""}, {3 * s, "b", 0, 0, 1, 1, ""},
			{4 * s, "b", 1, 1, 1, 1, ""}, {4900 * time.Millisecond, "c", 0, 0, 1, 0, ""}, {5 * s, "a", 0, 0, 1, 0, ""}, {5 * s, "c", 0, 0, 1, 0, "demand"}, {5 * s, "b", 0, 0, 1, 0, "freed"},
			{5 * s, "a", 0, 0, 1, 0, ""}, {5 * s, "c", 0, 0, 1, 1, ""}}},
		{"of two, each has the only one for 4 s", 1, false, []lease{
			{0, "a", 0, 0, 1, 1, ""}, {s, "b", 0, 0, 1, 0, ""}, {s, "a", 1, 1, 1, 1, ""}, {3999 * time.Millisecond, "b", 0, 0, 1, 0, ""},
			{4 * s, "b", 0, 0, 1, 0, "demand"}, {4 * s, "a", 1, 1, 1, 0, ""}, {5 * s, "a", 0, 0, 1, 0, "freed"}, {5 * s, "b", 0, 0, 1, 1, ""}}},
		{"a parked one is given at once, busy ones are not", 2, false, []lease{
			{0, "a", 0, 0, 1, 1, ""}, {0, "b", 0, 0, 1, 1, ""}, {3 * s, "a", 1, 1, 1, 1, ""}, {3 * s, "b", 1, 0, 1, 1, ""},
			{3 * s, "c", 0, 0, 1, 0, "demand"}, {3001 * time.Millisecond, "a", 1, 1, 1, 1, ""}, {3001 * time.Millisecond, "b", 1, 0, 1, 0, ""},
			{3002 * time.Millisecond, "b", 0, 0, 1, 0, "freed"}, {3003 * time.Millisecond, "c", 0, 0, 1, 1, ""}}},
		{"who has most parked gives one up", 4, false, []lease{
			{0, "a", 0, 0, 1, 1, ""}, {0, "b", 0, 0, 3, 3, ""}, {s, "a", 1, 0, 0, 1, ""}, {s, "b", 3, 0, 0, 3, ""}, {2 * s, "c", 0, 0, 1, 0, "demand"},
			{2 * s, "a", 1, 0, 0, 1, ""}, {2 * s, "b", 3, 0, 0, 2, ""}, {2 * s, "b", 2, 0, 0, 2, "freed"}, {2 * s, "c", 0, 0, 1, 1, ""}}},
		{"idle and granted ones end with the lease, busy ones with the transaction timeout", 3, false, []lease{
			{0, "a", 0, 0, 3, 3, ""}, {s, "a", 2, 1, 3, 3, ""}, {16*s - time.Millisecond, "b", 0, 0, 3, 0, "demand"}, {16 * s, "b", 0, 0, 3, 2, ""},
			{29 * s, "b", 2, 2, 3, 2, ""}, {301*s - time.Millisecond, "b", 2, 2, 3, 2, ""}, {301 * s, "b", 2, 2, 3, 3, ""}}},
		{"a node that returns has what it says", 2, false, []lease{
			{0, "a", 0, 0, 2, 2, ""}, {15 * s, "b", 0, 0, 2, 2, ""}, {16 * s, "a", 2, 2, 2, 0, "demand"}, {17 * s, "b", 2, 2, 2, 0, "demand"}, {18 * s, "b", 0, 0, 2, 0, "demand"},
			{19 * s, "a", 1, 1, 2, 1, "freed"}, {19 * s, "b", 0, 0, 2, 1, ""}}},
		{"one demand in a quarter of a second", 1, false, []lease{
			{0, "a", 1, 0, 0, 1, ""}, {s, "b", 0, 0, 1, 0, "demand"}, {1249 * time.Millisecond, "b", 0, 0, 1, 0, ""}, {1250 * time.Millisecond, "b", 0, 0, 1, 0, "demand"}}},
		{"two incarnations are two nodes", 3, false, []lease{
			{0, "a/old", 3, 1, 0, 3, ""}, {0, "a/new", 0, 0, 2, 0, "demand"}, {0, "a/old", 3, 1, 0, 1, ""}, {0, "a/old", 1, 1, 0, 1, "freed"}, {0, "a/new", 0, 0, 2, 2, ""}}},
		{"busy above have is have, and below nothing is nothing", 2, false, []lease{
			{0, "a", 1, 5, 0, 1, ""}, {0, "a", -1, -1, -1, 0, ""}}},
		{"after a reset nothing beyond have", 3, true, []lease{
			{0, "a", 1, 1, 3, 1, ""}, {s, "b", 0, 0, 1, 0, ""}, {15*s - time.Millisecond, "a", 1, 1, 3, 1, ""}, {15 * s, "a", 1, 1, 3, 2, ""}, {15 * s, "b", 0, 0, 1, 1, ""}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Config{Reset: tt.reset, BusyFor: 5 * time.Minute})
			for i, l := range tt.leases {
				b.at(l.at)
				g := b.report(l.node, share.Report{Slots: share.SlotReport{Limit: tt.limit, Have: l.have, Busy: l.busy, Want: l.want}})
				if events := b.events(); g.Slots != l.grant || events != l.events || g.Stale {
					t.Errorf("lease %d %v: granted %d, events %q", i, l, g.Slots, events)
				}
			}
		})
	}
}

func TestStrictestLimitHolds(t *testing.T) {
	b := newBench(t, Config{})
	limit := func(node string, limit, have, want int) int {
		return b.report(node, share.Report{Slots: share.SlotReport{Limit: limit, Have: have, Want: want}}).Slots
	}
	if got := limit("a", 5, 0, 4); got != 4 {
		t.Errorf("alone: %d", got)
	}
	if got := limit("b", 2, 0, 4); got != 0 {
		t.Errorf("the stricter one beside 4: %d", got)
	}
	if got := limit("a", 5, 4, 4); got != 1 {
		t.Errorf("the other one, after the limit became stricter: %d", got)
	}
	if got := limit("c", 0, 1, 7); got != 7 {
		t.Errorf("without a limit: %d", got)
	}
	b.at(share.TTL)
	if got := limit("a", 5, 0, 9); got != 5 {
		t.Errorf("after the others were silent: %d", got)
	}
}

func TestStale(t *testing.T) {
	b := newBench(t, Config{})
	report := func(seq uint64, have int) share.Grant {
		b.seq = seq - 1
		return b.report("a", share.Report{Slots: share.SlotReport{Limit: 3, Have: have, Want: 3}})
	}
	report(7, 2)
	for _, seq := range []uint64{7, 6, 1} {
		if g := report(seq, 0); !g.Stale || g.Seq != seq || g.Slots != 0 {
			t.Errorf("seq %d after 7: %+v", seq, g)
		}
	}
	if g := b.report("b", share.Report{Slots: share.SlotReport{Limit: 3, Want: 3}}); g.Slots != 0 {
		t.Errorf("a stale report changed what counts: %d granted to another node", g.Slots)
	}
	if g := report(8, 1); g.Stale || g.Slots != 2 {
		t.Errorf("seq 8: %+v", g)
	}
}

func TestNodesUnderAKey(t *testing.T) {
	b := newBench(t, Config{})
	for want, node := range []string{"a", "b", "c"} {
		if g := b.report(node, share.Report{}); g.Nodes != want+1 {
			t.Errorf("%s: %d nodes", node, g.Nodes)
		}
	}
	b.at(share.TTL)
	if g := b.report("a", share.Report{}); g.Nodes != 1 {
		t.Errorf("after TTL: %d nodes", g.Nodes)
	}
}
