package control

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/watchdog"
)

// State is the state of an account by an operator's order.
type State uint8

const (
	// Active: nothing was ordered.
	Active State = iota
	// Paused: no new logins and transactions.
	Paused
	// Draining: paused, and to be left without connections.
	Draining
)

var stateNames = [...]string{Active: "active", Paused: "paused", Draining: "draining"}

// String is the state in one word.
func (s State) String() string { return stateNames[s] }

// replies are the texts for clients; one line each, printable ASCII.
var replies = [...]string{
	Paused:   "The account is paused by the operator, try again later",
	Draining: "The account is being drained by the operator, try again later",
}

// Order is the state of one account and since when it holds.
type Order struct {
	State State
	Since time.Time // zero for Active
}

// Orders are the orders for all accounts. The zero value has none, and keeps
// them in memory only. All methods are safe for concurrent use. It must not be
// copied.
type Orders struct {
	// Watch notices a write of the file that does not end; nil: nothing does. It
	// must not be changed after the first use of the orders.
	Watch *watchdog.Watchdog
	// Share gives the orders of operators to all processes; nil: there is no other one. It
	// must not be changed after the first use of the orders.
	Share Share

	mu      sync.Mutex // serializes changes, the writing of them included
	path    string     // of the file; "": there is none
	unkept  bool       // the file differs from current
	untold  map[string]Given
	current atomic.Pointer[map[string]Order]
}

// Held reports whether the account may neither log in nor begin a transaction,
// and the text that says why, to go with 451 4.7.0. It takes no lock and does
// not allocate. The mailboxes of a catch-all account, whose ids begin with its
// own and a slash, share its orders.
func (o *Orders) Held(id string) (why string, held bool) {
	order := o.Of(id)
	return replies[order.State], order.State != Active
}

// Of returns the order for the account.
func (o *Orders) Of(id string) Order {
	all := o.current.Load()
	if all == nil || len(*all) == 0 {
		return Order{}
	}
	if order, ok := (*all)[id]; ok {
		return order
	}
	for i := range len(id) {
		if id[i] == '/' {
			if order, ok := (*all)[id[:i]]; ok {
				return order
			}
		}
	}
	return Order{}
}

// Set makes state the order for the account and returns it; Since stays when nothing
// changes. On an error the order is in force but not in the file: it ends with the
// process.
func (o *Orders) Set(id string, state State, now time.Time) (Order, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.clone()
	order := all[id]
	switch {
	case order.State == state && !o.unkept:
		return order, nil
	case state == Active:
		order = Order{}
		delete(all, id)
	case order.State != state:
		order = Order{state, now}
		all[id] = order
	}
	return order, o.keep(all)
}

// Retain removes the orders of accounts that no longer exist. On an error the file still
// has them.
func (o *Orders) Retain(known func(id string) bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.clone()
	before := len(all)
	maps.DeleteFunc(all, func(id string, _ Order) bool { return !known(id) })
	maps.DeleteFunc(o.untold, func(id string, _ Given) bool { return !known(id) })
	if len(all) == before && !o.unkept {
		return nil
	}
	return o.keep(all)
}

// clone returns a copy to change. Called with mu.
func (o *Orders) clone() map[string]Order {
	all := make(map[string]Order)
	if current := o.current.Load(); current != nil {
		maps.Copy(all, *current)
	}
	return all
}
