package share_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
)

// TestHistories has nodes use one mailbox through members, at random, while calls to the
// store are lost, late, executed twice or out of order, the store is away or begins anew, and
// nodes die. The provider never sees more connections than the limit, nor more messages in
// any minute; and when the faults have ended, all is in use.
func TestHistories(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { history(t, seed) })
		})
	}
}

const historyOf = 4 * time.Minute

func history(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	limit, perMinute := []int{1, 2, 3, 10}[seed%4], []int{30, 60, 240}[seed%3]
	restarts := seed%2 == 0
	longest := 60 * time.Second // a message
	if restarts {
		longest = 4 * time.Second // longer ones may be forgotten with the data of the store
	}
	l := ledger.New(ledger.Config{Epoch: "0", BusyFor: max(longest, share.TTL)})
	p := &provider{t: t, limit: limit, perMinute: perMinute}
	var faults atomic.Bool
	faults.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	nodes := make([]*node, 2+rnd.IntN(3))
	begin := func(i int) {
		store := &faulty{Ledger: l, rnd: rand.New(rand.NewPCG(seed, rnd.Uint64())), faults: &faults, ctx: ctx}
		nodes[i] = newNode(ctx, t, fmt.Sprint("n", i), store, p, rand.New(rand.NewPCG(seed, rnd.Uint64())), longest)
		all.Go(nodes[i].run)
	}
	for i := range nodes {
		begin(i)
	}
	for end := time.Now().Add(historyOf); time.Now().Before(end); {
		<-time.After(time.Duration(rnd.IntN(20000)) * time.Millisecond)
		switch i := rnd.IntN(len(nodes)); rnd.IntN(6) {
		case 0:
			nodes[i].die()
			begin(i)
		case 1:
			if restarts {
				l.Restart(fmt.Sprint(rnd.Uint32()), rnd.IntN(2) == 0)
			}
		default:
			nodes[i].store.cut(time.Duration(rnd.IntN(25000)) * time.Millisecond)
		}
	}
	faults.Store(false)
	for _, n := range nodes {
		n.eager.Store(true)
	}
	<-time.After(2 * time.Minute)
	if p.peak(10*time.Second) != limit {
		t.Errorf("%d of %d connections are open in the end", p.peak(10*time.Second), limit)
	}
	if p.messages == 0 {
		t.Error("no message was sent")
	}
	for _, n := range nodes {
		n.die()
	}
	cancel()
	all.Wait()
	_ = l.Close()
}

// faulty is a node's way to the ledger.
type faulty struct {
	*ledger.Ledger
	ctx    context.Context
	faults *atomic.Bool // off: no more

	mu   sync.Mutex
	rnd  *rand.Rand
	dark time.Time // until then nothing passes
}

func (f *faulty) cut(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dark = time.Now().Add(d)
}

func (f *faulty) die(ctx context.Context) (share.Answer, error) {
	<-ctx.Done()
	return share.Answer{}, ctx.Err()
}

func (f *faulty) Renew(ctx context.Context, n share.Node, reports []share.Report) (share.Answer, error) {
	f.mu.Lock()
	kind, delay := f.rnd.IntN(30), time.Duration(f.rnd.IntN(40))*time.Millisecond
	late := time.Duration(f.rnd.IntN(20000)) * time.Millisecond
	dark := time.Now().Before(f.dark)
	f.mu.Unlock()
	again := func() { // executes it once more, later
		go func() {
			select {
			case <-time.After(late):
				_, _ = f.Ledger.Renew(f.ctx, n, reports)
			case <-f.ctx.Done():
			}
		}()
	}
	switch {
	case !f.faults.Load():
	case kind == 0, dark && kind > 4:
		return f.die(ctx) // lost
	case kind == 1, dark:
		again()
		return f.die(ctx)
	case kind == 2: // the answer is lost
		_, _ = f.Ledger.Renew(ctx, n, reports)
		return f.die(ctx)
	case kind < 5:
		again()
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return share.Answer{}, ctx.Err()
	}
	a, err := f.Ledger.Renew(ctx, n, reports)
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return share.Answer{}, ctx.Err()
	}
	return a, err
}

// provider sees what all nodes do.
type provider struct {
	t                *testing.T
	limit, perMinute int

	mu       sync.Mutex
	open     int
	messages int
	times    []time.Time // of messages of the last minute
	peaks    []peak
}

type peak struct {
	at   time.Time
	open int
}

func (p *provider) change(node string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += n
	p.peaks = append(p.peaks, peak{time.Now(), p.open})
	if n > 0 && p.open > p.limit {
		p.t.Errorf("%s, by %s: %d connections, limit %d", time.Now().Format("15:04:05.000"), node, p.open, p.limit)
	}
}

// peak is the most that were open in the last d.
func (p *provider) peak(d time.Duration) (most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	most = p.open
	for _, o := range p.peaks {
		if time.Since(o.at) < d {
			most = max(most, o.open)
		}
	}
	return most
}

func (p *provider) message(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.messages++
	p.times = append(p.times, now)
	for now.Sub(p.times[0]) >= time.Minute {
		p.times = p.times[1:]
	}
	if len(p.times) > p.perMinute {
		p.t.Errorf("%s, by %s: %d messages in a minute, limit %d", now.Format("15:04:05.000"), node, len(p.times), p.perMinute)
	}
}

// node uses the mailbox as a pool does.
type node struct {
	name    string
	member  *share.Member
	box     share.Mailbox
	store   *faulty
	to      *provider
	rnd     *rand.Rand
	ctx     context.Context
	die     context.CancelFunc
	changed chan struct{}
	longest time.Duration
	eager   atomic.Bool // has always messages

	conns   []*conn
	waiting int
}

// conn is a connection: busy until it is free, and closing until it is gone.
type conn struct{ until, counted, gone time.Time }

func newNode(ctx context.Context, t *testing.T, name string, store *faulty, to *provider, rnd *rand.Rand, longest time.Duration) *node {
	n := &node{name: name, store: store, to: to, rnd: rnd, changed: make(chan struct{}, 1), longest: longest}
	n.ctx, n.die = context.WithCancel(ctx)
	n.member = share.NewMember(share.Config{Node: name}, store, zap.NewNop(), metrics.NewSet())
	if err := n.member.Start(); err != nil {
		t.Fatal(err)
	}
	n.box = n.member.Join("box", func() {
		select {
		case n.changed <- struct{}{}:
		default:
		}
	})
	var permits [share.NumKinds]int
	permits[share.MessagesPerMinute], permits[share.MessagesPerDay] = to.perMinute, 1<<20
	n.box.Limit(to.limit, permits)
	return n
}

func (n *node) run() {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	idle := time.Now()
	for {
		select {
		case <-n.ctx.Done():
			n.to.change(n.name, -len(n.conns)) // the kernel closes them
			n.conns = nil
			n.member.Close()
			return
		case <-n.changed:
		case <-tick.C:
		}
		now := time.Now()
		if n.eager.Load() {
			n.waiting = 30
		} else if now.After(idle) && n.rnd.IntN(20) == 0 {
			n.waiting += n.rnd.IntN(8)
			if n.rnd.IntN(10) == 0 {
				idle, n.waiting = now.Add(time.Duration(n.rnd.IntN(20000))*time.Millisecond), 0
			}
		}
		n.step(now)
	}
}

func (n *node) counts(now time.Time) (busy, closing int) {
	for _, c := range n.conns {
		if c.until.After(now) {
			busy++
		}
		if !c.gone.IsZero() {
			closing++
		}
	}
	return busy, closing
}

func (n *node) step(now time.Time) {
	kept := n.conns[:0]
	for _, c := range n.conns {
		if !c.counted.IsZero() && !now.Before(c.counted) {
			n.to.message(n.name)
			c.counted = time.Time{}
		}
		if !c.until.IsZero() && !c.until.After(now) { // its message has ended
			n.settle(1)
			c.until = time.Time{}
		}
		if !c.gone.IsZero() && !c.gone.After(now) {
			n.to.change(n.name, -1)
			continue
		}
		kept = append(kept, c)
	}
	n.conns = kept
	busy, closing := n.counts(now)
	end := func(c *conn) {
		if c.gone.IsZero() {
			c.gone = now.Add(time.Duration(n.rnd.IntN(300)) * time.Millisecond)
			closing++
		}
	}
	for _, c := range n.conns { // those above the slots are closed, parked ones first
		if len(n.conns)-closing > n.box.Connections() && c.until.IsZero() {
			end(c)
		}
	}
	for _, c := range n.conns {
		if busy > n.box.Messages() && !c.until.IsZero() {
			c.until, c.counted = time.Time{}, time.Time{}
			n.settle(0)
			busy--
			c.gone = now // cut
		}
	}
	for n.waiting > busy && len(n.conns) < n.to.limit {
		n.report(now, len(n.conns)+1)
		if len(n.conns)+1 > n.box.Connections() {
			break
		}
		n.conns = append(n.conns, new(conn))
		n.to.change(n.name, 1)
	}
	for _, c := range n.conns {
		if c.until.IsZero() && c.gone.IsZero() && n.waiting > 0 && len(n.conns)-closing <= n.box.Connections() && n.take() {
			n.waiting--
			took := time.Duration(1+n.rnd.IntN(int(n.longest/time.Millisecond))) * time.Millisecond
			if n.rnd.IntN(4) > 0 {
				took = min(took, 2*time.Second)
			}
			c.until, c.counted = now.Add(took), now.Add(took/2)
		}
	}
	n.report(time.Now(), len(n.conns))
}

func (n *node) take() bool {
	if !n.box.Take(share.MessagesPerMinute) {
		return false
	}
	if !n.box.Take(share.MessagesPerDay) {
		n.box.Settle(share.MessagesPerMinute, 1, 0)
		return false
	}
	return true
}

func (n *node) settle(counted int) {
	n.box.Settle(share.MessagesPerMinute, 1, counted)
	n.box.Settle(share.MessagesPerDay, 1, counted)
}

func (n *node) report(now time.Time, have int) {
	busy, closing := n.counts(now)
	n.box.Want(share.MessagesPerMinute, n.waiting)
	n.box.Want(share.MessagesPerDay, n.waiting)
	n.box.Report(have, busy, min(n.to.limit, len(n.conns)-closing+n.waiting))
}
