//go:build e2e

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/redisserver"
)

// testClock reads the time from a key.
const testClock = "local now = tonumber(redis.call('GET', 'xp:test-clock'))\n"

// pair is a server and a ledger that are asked the same at the same times, which must answer
// the same.
type pair struct {
	t      *testing.T
	srv    *redisserver.Server
	store  *Store
	ledger *ledger.Ledger
	now    time.Time
	told   []share.Event // of the ledger, since the last call
	heard  chan share.Event
}

func newPair(t *testing.T, busyFor time.Duration) *pair {
	t.Helper()
	return newPairAt(t, time.UnixMilli(1_790_000_000_123), busyFor)
}

func newPairAt(t *testing.T, now time.Time, busyFor time.Duration) *pair {
	t.Helper()
	p := &pair{t: t, srv: redisserver.Start(t, redisserver.Options{}), now: now, heard: make(chan share.Event, 1000)}
	p.store = openAt(t, p.srv)
	p.store.scripts = loadScripts(testClock, busyFor)
	p.ledger = ledger.New(ledger.Config{Now: func() time.Time { return p.now }, Epoch: "0", Reset: true, BusyFor: busyFor})
	t.Cleanup(p.ledger.Watch(func(e share.Event) { p.told = append(p.told, e) }))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.store.Events(ctx, func(e share.Event) { p.heard <- e }) // ended by stop
	}()
	t.Cleanup(func() { stop(); <-ended })
	testkit.Eventually(t, "the subscription stands", func() bool { return p.srv.Do("PUBSUB", "NUMSUB", channel) == channel+"\n1" })
	p.begin()
	return p
}

// begin has the server begin its epoch now, as the ledger does.
func (p *pair) begin() {
	p.t.Helper()
	p.pass(0)
	if _, err := p.store.Renew(testkit.Context(p.t), nodeA, nil); err != nil {
		p.t.Fatal(err)
	}
}

// pass lets time pass.
func (p *pair) pass(d time.Duration) {
	p.t.Helper()
	p.now = p.now.Add(d)
	c := p.store.client.B().Set().Key("xp:test-clock").Value(strconv.FormatInt(p.now.UnixMilli(), 10)).Build()
	if err := p.store.client.Do(testkit.Context(p.t), c).Error(); err != nil {
		p.t.Fatal(err)
	}
}

// restart begins another epoch in both: keep says whether the data is still there.
func (p *pair) restart(epoch string, keep bool) {
	p.t.Helper()
	if keep {
		p.srv.Do("DEL", keyEpoch)
	} else {
		p.srv.Do("FLUSHALL")
	}
	p.begin()
	p.ledger.Restart(epoch, keep)
}

// both has both stores do the same. do returns what is compared.
func (p *pair) both(what string, do func(context.Context, share.Store) (any, error)) {
	p.t.Helper()
	ctx := testkit.Context(p.t)
	p.told = nil
	want, wantErr := do(ctx, p.ledger)
	got, gotErr := do(ctx, p.store)
	if !errors.Is(gotErr, wantErr) {
		p.t.Fatalf("%s: the ledger's error is %v, the server's %v", what, wantErr, gotErr)
	}
	if !reflect.DeepEqual(got, want) {
		p.t.Fatalf("%s at %d:\nledger %+v\nserver %+v", what, p.now.UnixMilli(), want, got)
	}
	p.hear(what)
}

// hear waits for the server to tell what the ledger has told.
func (p *pair) hear(what string) {
	p.t.Helper()
	for _, e := range p.told {
		if heard := testkit.Receive(p.t, "an event after "+what, p.heard); !sameEvent(heard, e) {
			p.t.Fatalf("%s: the ledger tells %+v, the server %+v", what, e, heard)
		}
	}
}

func sameEvent(a, b share.Event) bool {
	return a.Kind == b.Kind && a.Key == b.Key && sameOrder(a.Order, b.Order) && a.Order.Number == b.Order.Number
}

// quiet fails if the server has told what the ledger has not.
func (p *pair) quiet() {
	p.t.Helper()
	select {
	case e := <-p.heard:
		p.t.Fatalf("the server alone tells %+v", e)
	default:
	}
}

// history is what a random history has done so far.
type history struct {
	*pair
	*rand.Rand
	nodes  []share.Node
	seq    map[string]uint64
	limits []int
	counts map[string]*[share.NumKinds]share.PermitReport
	fences []uint64
	seen   uint64
	epochs int
}

func TestDecidesAsTheLedger(t *testing.T) {
	const steps = 1500
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := &history{Rand: rand.New(rand.NewPCG(seed, 16)), seq: map[string]uint64{}, counts: map[string]*[share.NumKinds]share.PermitReport{}}
			h.pair = newPair(t, []time.Duration{share.BusyFor, 20 * time.Second}[seed%2])
			for i := range 2 + h.IntN(4) {
				h.nodes = append(h.nodes, share.Node{Name: []string{"mx1", "mx10", "MX1", "über", "mx1"}[i], Incarnation: fmt.Sprintf("%x", 10+i)})
			}
			h.limits = []int{0, 1, 2, 3, 10}
			for range steps {
				h.step()
			}
			h.quiet()
		})
	}
}

func (h *history) pick() share.Node { return h.nodes[h.IntN(len(h.nodes))] }

// step lets time pass, and does one thing.
func (h *history) step() {
	h.t.Helper()
	h.pass(time.Duration([]int64{0, 1, 100, 900, 2000, 4999, 15000, 61000, 700000, 3600000}[min(h.IntN(40), 9)]) * time.Millisecond)
	n, chain := h.pick(), []string{"c1", "c2"}[h.IntN(2)]
	switch what := h.IntN(100); {
	case what < 75:
		reports := make([]share.Report, 1+h.IntN(3))
		for i := range reports {
			reports[i] = h.report(n)
		}
		h.both("renew", func(ctx context.Context, s share.Store) (any, error) {
			a, err := s.Renew(ctx, n, reports)
			return a.Grants, err
		})
	case what < 80:
		var got share.Claim
		claimed := time.Duration(1+h.IntN(100)) * time.Second
		h.both("claim", func(ctx context.Context, s share.Store) (_ any, err error) {
			got, err = s.Claim(ctx, n, chain, claimed)
			return got, err
		})
		h.fences = append(h.fences, got.Fence)
	case what < 86 && len(h.fences) > 0:
		fence := h.fences[h.IntN(len(h.fences))] + uint64(h.IntN(10)/9)
		if h.IntN(3) == 0 {
			h.both("abandon", func(ctx context.Context, s share.Store) (any, error) { return nil, s.Abandon(ctx, n, chain, fence) })
			return
		}
		h.both("commit", func(ctx context.Context, s share.Store) (any, error) {
			return s.Commit(ctx, n, chain, fence, []byte(fmt.Sprint("record", fence)))
		})
	case what < 88:
		h.both("record", func(ctx context.Context, s share.Store) (any, error) { return s.Record(ctx, chain) })
	case what < 93:
		o := share.Order{AccountID: []string{"one", "two", "x y"}[h.IntN(3)], State: []share.State{"", "active", "paused", "drained"}[h.IntN(4)],
			Release: h.IntN(3) == 0, At: h.now.UTC(), Node: n.Name, Seen: h.seen}
		if h.IntN(2) == 0 {
			o.At = o.At.Truncate(time.Minute)
		}
		h.both("order", func(ctx context.Context, s share.Store) (any, error) { return nil, s.Order(ctx, o) })
		if len(h.told) > 0 && h.IntN(2) == 0 {
			h.seen = h.told[0].Order.Number
		}
	case what < 95:
		h.both("orders", func(ctx context.Context, s share.Store) (any, error) { return s.Orders(ctx) })
	case what < 98:
		i := share.Info{Node: n, Version: "1", Protocol: 1, KeyCheck: []string{"k", "k", "k", "other"}[h.IntN(4)], Limits: "l", Since: h.now.UTC(), Members: h.IntN(9)}
		h.both("announce", func(ctx context.Context, s share.Store) (any, error) { return nil, s.Announce(ctx, i) })
	case what < 99:
		h.both("nodes", func(ctx context.Context, s share.Store) (any, error) { return s.Nodes(ctx) })
	case h.IntN(2) == 0:
		h.epochs++
		h.restart(fmt.Sprint(h.epochs), h.IntN(2) == 0)
	}
}

// report makes up a report, most of the time one that a node could send.
func (h *history) report(n share.Node) share.Report {
	key := []string{"k1", "\x00host:1\x00{k2}"}[h.IntN(2)]
	id := n.Name + "|" + n.Incarnation + key
	h.seq[id]++
	r := share.Report{Key: key, Seq: h.seq[id]}
	if h.IntN(20) == 0 {
		r.Seq -= min(r.Seq-1, uint64(h.IntN(3))) // late
	}
	r.Slots.Limit = 3
	if h.IntN(10) == 0 {
		r.Slots.Limit = h.limits[h.IntN(len(h.limits))]
	}
	r.Slots.Have = h.IntN(4)
	r.Slots.Busy = h.IntN(r.Slots.Have + 1)
	r.Slots.Want = r.Slots.Busy + h.IntN(3)
	if h.IntN(50) == 0 {
		r.Slots.Busy, r.Slots.Want = r.Slots.Busy+5, -1
	}
	last := h.counts[id]
	if last == nil {
		last = new([share.NumKinds]share.PermitReport)
		h.counts[id] = last
	}
	for k := range share.NumKinds {
		p := &last[k]
		p.Limit = []int{10, 100, 1000, 2000, 0}[k]
		if h.IntN(30) == 0 {
			p.Limit = h.limits[h.IntN(len(h.limits))]
		}
		used := h.IntN(p.Held + 1)
		p.Settled += uint64(used)
		p.Held -= used
		p.Want = p.Held + h.IntN(8)
		r.Permits[k] = *p
		p.Held = p.Want // as if all was granted
	}
	if h.IntN(10) == 0 {
		hour := h.now.Unix() / 3600
		for back := range int64(1 + h.IntN(30)) {
			r.Hours = append(r.Hours, share.Hour{Number: hour - back + int64(h.IntN(20)/19), Messages: uint32(h.IntN(50)), Recipients: uint32(h.IntN(90))})
		}
	}
	return r
}
