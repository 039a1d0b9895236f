package sharetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"xoauth2-proxy/internal/share"
)

// Calls is a random run of calls of all kinds, with numbers that no node would report too:
// for a [Pair]. Time passes in milliseconds, seconds and hours.
type Calls struct {
	Seed  uint64
	Steps int
	// Restarts: the store restarts now and then.
	Restarts bool

	*dice
	clock  *Clock
	store  Target
	seqs   map[string]uint64
	totals map[string]uint64
	fences []uint64
	epochs int
}

// dice make what is random the same each time.
type dice = rand.Rand

// Run runs the calls; the store reads the clock. The error is that of the first call that
// has one, but ErrForeign.
func (c Calls) Run(clock *Clock, store Target) error {
	c.dice, c.clock, c.store = rand.New(rand.NewPCG(c.Seed, 2)), clock, store
	c.seqs, c.totals = make(map[string]uint64), make(map[string]uint64)
	for i := range c.Steps {
		c.pass()
		if err := c.call(context.Background()); err != nil && !errors.Is(err, share.ErrForeign) {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	return nil
}

// pass lets some time pass.
func (c *Calls) pass() {
	const ms = time.Millisecond
	most := []time.Duration{0, 10 * ms, 300 * ms, 300 * ms, time.Second, 5 * time.Second}
	d := most[c.IntN(len(most))]
	switch c.IntN(300) {
	case 0:
		d = 3 * time.Hour
	case 1, 2:
		d = 20 * time.Minute
	case 3, 4, 5:
		d = 90 * time.Second
	}
	c.clock.now = c.clock.now.Add(time.Duration(c.Int64N(d.Milliseconds()+1)) * time.Millisecond)
}

func (c *Calls) node() share.Node {
	return share.Node{Name: fmt.Sprint("n", c.IntN(3)), Incarnation: fmt.Sprint(c.IntN(2))}
}

func (c *Calls) name(what string) string { return fmt.Sprint(what, c.IntN(2)) }

// call makes one call.
func (c *Calls) call(ctx context.Context) (err error) {
	n := c.node()
	switch c.IntN(24) {
	default:
		reports := make([]share.Report, 1+c.IntN(3))
		for i := range reports {
			reports[i] = c.report(n)
		}
		_, err = c.store.Renew(ctx, n, reports)
	case 0, 1:
		var claim share.Claim
		claim, err = c.store.Claim(ctx, n, c.name("chain"), time.Duration(c.IntN(40))*time.Second)
		if claim.Fence > 0 {
			c.fences = append(c.fences, claim.Fence)
		}
	case 2:
		_, err = c.store.Commit(ctx, n, c.name("chain"), c.fence(), []byte{byte(c.IntN(256)), 0, '\n'})
	case 3:
		err = c.store.Abandon(ctx, n, c.name("chain"), c.fence())
	case 4:
		_, err = c.store.Record(ctx, c.name("chain"))
	case 5:
		err = c.store.Order(ctx, c.order(n))
	case 6:
		_, err = c.store.Orders(ctx)
	case 7, 8:
		i := share.Info{Node: n, Version: "1.0 (a b)", Protocol: 1, KeyCheck: "key", Limits: "limits", Since: c.clock.now, Members: c.IntN(9)}
		if c.IntN(10) == 0 {
			i.Protocol = 2
		}
		err = c.store.Announce(ctx, i)
	case 9:
		_, err = c.store.Nodes(ctx)
	case 10:
		if c.Restarts && c.IntN(10) == 0 {
			c.epochs++
			c.store.Restart(fmt.Sprint("epoch ", c.epochs), c.IntN(2) == 0)
		}
	}
	return err
}

// fence is one of the last fences, mostly the last.
func (c *Calls) fence() uint64 {
	if len(c.fences) == 0 {
		return 0
	}
	return c.fences[max(0, len(c.fences)-1-c.IntN(3))]
}

func (c *Calls) order(n share.Node) share.Order {
	states := []share.State{"", "active", "paused", "draining"}
	o := share.Order{AccountID: c.name("account"), State: states[c.IntN(len(states))], Node: n.Name}
	o.At = c.clock.now.Truncate(time.Second)
	o.Release = c.IntN(5) == 0
	if c.IntN(2) == 0 {
		o.Seen = uint64(c.clock.now.UnixMilli())
	}
	return o
}

// report is a report whose Seq mostly rises, and whose counts do.
func (c *Calls) report(n share.Node) share.Report {
	r := share.Report{Key: c.name("mailbox{x} ")}
	id := fmt.Sprint(n, r.Key)
	r.Seq = c.seqs[id] + uint64(c.IntN(10))
	c.seqs[id] = max(c.seqs[id], r.Seq)
	limits := []int{3, 3, 3, 1, 10, 0}
	r.Slots = share.SlotReport{Limit: limits[c.IntN(len(limits))], Have: c.IntN(4), Busy: c.IntN(4), Want: c.IntN(5)}
	for k := range share.NumKinds {
		if c.IntN(3) == 0 {
			continue // no limit
		}
		kind := fmt.Sprint(id, k)
		c.totals[kind] += uint64(c.IntN(4))
		r.Permits[k] = share.PermitReport{Limit: 5 + c.IntN(2)*50, Settled: c.totals[kind], Held: c.IntN(4), Want: c.IntN(20)}
	}
	if c.IntN(10) == 0 {
		now := c.clock.now.Unix() / 3600
		for hour := now - 26; hour <= now+1; hour++ {
			if c.IntN(3) == 0 {
				r.Hours = append(r.Hours, share.Hour{Number: hour, Messages: uint32(c.IntN(6)), Recipients: uint32(c.IntN(6))})
			}
		}
	}
	return r
}
