package sandbox

import (
	"context"
	"sync"
)

// notifier wakes all who wait for some state to change. The zero value is ready.
type notifier struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// changed returns a channel that the next wake closes. Get it first, then
// look at the state, then wait.
func (n *notifier) changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *notifier) wake() {
	n.mu.Lock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
	n.mu.Unlock()
}

// until waits for cond to hold, looking again at each wake.
func (n *notifier) until(ctx context.Context, cond func() bool) error {
	for {
		ch := n.changed()
		if cond() {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
