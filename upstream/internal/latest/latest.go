// Package latest runs one thing at a time in the background, the latest one.
package latest

import (
	"context"
	"sync"
)

// Run is what goes on. The zero Run is ready for use.
type Run struct {
	mu     sync.Mutex         // guards what follows but runs; a leaf
	cancel context.CancelFunc // of the last run
	closed bool
	runs   sync.WaitGroup
}

// Replace cancels a run that goes on and starts the next, which cancel ends. After Stop it
// calls cancel only.
func (r *Run) Replace(cancel context.CancelFunc, run func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		r.cancel()
	}
	r.cancel = cancel
	if r.closed {
		cancel()
		return
	}
	r.runs.Go(run)
}

// Wait waits until no run goes on.
func (r *Run) Wait() { r.runs.Wait() }

// Stop cancels a run that goes on, and waits for its end.
func (r *Run) Stop() {
	r.mu.Lock()
	r.closed = true
	if r.cancel != nil {
		r.cancel()
	}
	r.mu.Unlock()
	r.runs.Wait()
}
