// Package courier carries the orders of operators between this process and the others of a
// store. It is the control.Share over a share.Store.
//
// # Who is right
//
// The store has the last order for each account. An order goes to the store first, and then
// into force here; the others hear of it at once, and read the store's orders every two
// seconds. What is in force here and in none of the store's orders is given to the store: it
// is from before the sharing, or the store has lost its data. A pause wins over a resume that
// crosses it: the store refuses an order to resume whose giver did not know the pause.
//
// # A store that does not answer
//
// An order holds here at once, stays untold in the file of the orders, over a restart too,
// and is given when the store is back.
//
// # What follows from an order
//
// An order of another process does here what the admin API does: a drain closes connections,
// a resume ends a hold. A process that starts takes the states, and repeats nothing. Orders
// for accounts that it does not have wait until it has them.
package courier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/share"
)

// beatEvery is how often the orders of the store are read, if no event says to.
const beatEvery = 2 * time.Second

// Config says what a courier works with.
type Config struct {
	Store share.Store
	// Node is the name of this one.
	Node string
	// Orders are those in force here.
	Orders *control.Orders
	// Accounts returns the accounts in force.
	Accounts func() *account.Snapshot
	// Joined reports whether the store has taken this node; nil: it has.
	Joined func() bool
	// Apply puts an order in force here, with all that follows from it.
	Apply func(control.Given) error
}

// Courier carries orders.
type Courier struct {
	cfg Config
	log *zap.Logger

	mu    sync.Mutex        // held while orders are given or taken
	taken map[string]uint64 // the number of the last order taken, by account
	seen  uint64            // the highest number
	begun bool              // the store's orders were read

	wake   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

var _ control.Share = (*Courier)(nil)

// New returns a courier that has not started.
func New(cfg Config, log *zap.Logger) *Courier {
	c := &Courier{cfg: cfg, log: log, taken: make(map[string]uint64), wake: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Start takes the orders of the store, if it answers, and goes on with that until Close.
func (c *Courier) Start() {
	c.read()
	c.done.Go(func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-c.wake:
			case <-tick.C:
			case <-c.ctx.Done():
				return
			}
			c.read()
		}
	})
}

// Close ends that.
func (c *Courier) Close() {
	c.cancel()
	c.done.Wait()
}

// Wake has the orders of the store read now: an event share.Ordered says so, or events may
// have been lost. It does not wait.
func (c *Courier) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Give implements control.Share. The error is control.ErrCrossed, or that of Apply.
func (c *Courier) Give(g control.Given) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.Seen = c.seen
	err := c.give(g)
	if err == nil {
		err = c.cfg.Orders.SetTold(g.ID) // an older one may have been untold
		if c.take() != nil {
			return errors.Join(err, c.cfg.Apply(g))
		}
		if c.cfg.Orders.Of(g.ID).State != g.State {
			return errors.Join(err, control.ErrCrossed)
		}
		_, unkept := c.cfg.Orders.Set(g.ID, g.State, g.At)
		return errors.Join(err, unkept)
	}
	c.log.Warn("the other proxies do not know an order yet: it holds here, and is given when the store of the shared limits answers",
		zap.String("account", g.ID), zap.String("state", g.State.String()), zap.Error(err))
	return errors.Join(c.cfg.Orders.SetUntold(g), c.cfg.Apply(g))
}

// read gives what is untold, and takes the orders of the store.
func (c *Courier) read() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.cfg.Orders.Untold() {
		if c.give(g) != nil {
			return
		}
		if err := c.cfg.Orders.SetTold(g.ID); err != nil {
			c.cannotKeep(g.ID, err)
		}
	}
	_ = c.take() // what was not answered is asked again
}

// give gives an order to the store. Called with mu.
func (c *Courier) give(g control.Given) error {
	ctx, cancel := context.WithTimeout(c.ctx, share.CallTimeout)
	defer cancel()
	if !c.joined() {
		return share.ErrOutage
	}
	return c.cfg.Store.Order(ctx, share.Order{AccountID: g.ID, State: share.State(g.State.String()), Release: g.Release,
		At: g.At, Node: c.cfg.Node, Seen: g.Seen})
}

// take puts the orders of the store in force. Called with mu.
func (c *Courier) take() error {
	ctx, cancel := context.WithTimeout(c.ctx, share.CallTimeout)
	defer cancel()
	list, err := []share.Order(nil), error(share.ErrOutage)
	if c.joined() {
		list, err = c.cfg.Store.Orders(ctx)
	}
	if err != nil {
		return fmt.Errorf("the orders of the other proxies: %w", err)
	}
	there := make(map[string]bool, len(list))
	for _, o := range list {
		there[o.AccountID] = true
		c.seen = max(c.seen, o.Number)
		c.takeOne(o)
	}
	c.begun = true
	for id, o := range c.cfg.Orders.All() {
		if !there[id] {
			if err := c.give(control.Given{ID: id, State: o.State, At: o.Since, Seen: c.seen}); err != nil {
				return err
			}
		}
	}
	return nil
}

// joined reports whether the store has taken this node.
func (c *Courier) joined() bool { return c.cfg.Joined == nil || c.cfg.Joined() }

// takeOne puts an order of the store in force, unless it is.
func (c *Courier) takeOne(o share.Order) {
	state, ok := control.ParseState(string(o.State))
	if _, known := c.cfg.Accounts().ByID(o.AccountID); !known || !ok || c.cfg.Orders.IsUntold(o.AccountID) {
		return
	}
	before, now := c.taken[o.AccountID], c.cfg.Orders.Of(o.AccountID).State
	c.taken[o.AccountID] = o.Number
	if now == state && (before == o.Number || !c.begun) {
		return
	}
	release := o.Release && c.begun && before != o.Number
	err := c.cfg.Apply(control.Given{ID: o.AccountID, State: state, Release: release, At: o.At})
	if err != nil {
		c.cannotKeep(o.AccountID, err)
	}
	if o.Node != c.cfg.Node {
		c.log.Info("account ordered by another proxy", zap.String("account", o.AccountID), zap.String("state", state.String()),
			zap.String("node", o.Node))
	}
}

// cannotKeep logs that an order is in force, and not in the file.
func (c *Courier) cannotKeep(id string, err error) {
	c.log.Error("an order of another proxy holds, but only until this one ends", zap.String("account", id), zap.Error(err))
}
