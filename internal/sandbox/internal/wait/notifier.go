package wait

import (
	"context"
	"sync"
)

// Notifier wakes all goroutines that wait for a state to change. The zero value is
// ready.
type Notifier struct {
	mu sync.Mutex    // guards ch
	ch chan struct{} // the next Wake closes it; nil: nothing waits
}

// Wake says that the state has changed.
func (n *Notifier) Wake() {
	n.mu.Lock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
	n.mu.Unlock()
}

// Until waits for cond to hold. It calls cond at first and after each Wake. The
// error is the context's.
func (n *Notifier) Until(ctx context.Context, cond func() bool) error {
	for {
		n.mu.Lock()
		if n.ch == nil {
			n.ch = make(chan struct{})
		}
		ch := n.ch // before cond, so that no change between is missed
		n.mu.Unlock()
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
