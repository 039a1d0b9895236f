package control

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// Given is an order as an operator gave it.
type Given struct {
	ID    string // of the account
	State State
	// Release has the account released from a provider's hold, too.
	Release bool
	At      time.Time
	// Seen is which orders were known then, for Share.
	Seen uint64
}

// ErrCrossed: another process has paused or drained the account, and the order to resume it
// did not know of that.
var ErrCrossed = errors.New("another proxy has paused or drained the account meanwhile: if it is to be resumed all the same, resume it again")

// Share gives orders to all processes that have the accounts.
type Share interface {
	// Give puts an order in force here and in all others. It waits for a short time at most:
	// an order that it cannot give now stays untold, and is given later. The error is
	// ErrCrossed, or that of Set.
	Give(g Given) error
}

// Untold returns the orders that the other processes do not know yet, in the order of the
// accounts.
func (o *Orders) Untold() (all []Given) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(o.untold)) {
		all = append(all, o.untold[id])
	}
	return all
}

// IsUntold reports whether the last order for the account is untold.
func (o *Orders) IsUntold(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.untold[id]
	return ok
}

// SetUntold notes an order that is to be given later; it does not put it in force. On an
// error the note ends with the process.
func (o *Orders) SetUntold(g Given) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.untold == nil {
		o.untold = make(map[string]Given)
	}
	o.untold[g.ID] = g
	return o.keep(o.clone())
}

// SetTold forgets the note of SetUntold.
func (o *Orders) SetTold(id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.untold[id]; !ok {
		return nil
	}
	delete(o.untold, id)
	return o.keep(o.clone())
}

// All returns the orders by account. The map must not be changed.
func (o *Orders) All() map[string]Order {
	if all := o.current.Load(); all != nil {
		return *all
	}
	return nil
}

// ParseState is the state that String gives as name.
func ParseState(name string) (state State, ok bool) {
	i := slices.Index(stateNames[:], name)
	return State(max(0, i)), i >= 0
}
