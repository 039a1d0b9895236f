package oauth

import (
	"context"
	"sync"
	"time"
)

// A call is one refresh of one source, from the first request to its answer.
type call struct {
	work   func(number int, closed bool) // does the refresh, on the worker of that number
	early  bool                          // no caller waits for it yet; guarded by Source.mu
	forced bool                          // ignores what is remembered or stored; guarded by Source.mu
	asked  time.Time                     // when it was queued, or first waited for
	// waiters are told on the worker. Guarded by Source.mu.
	waiters []func(*Token, error)
	// stuck: its worker does not come back, and no caller is to wait for it. Guarded
	// by Source.mu.
	stuck bool

	taken bool // by a worker; guarded by workers.mu

	// The answer; readable once done is closed.
	done  chan struct{}
	token *Token
	err   *Error
}

// answer returns the result in the form that callers get.
func (c *call) answer() (*Token, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.token, nil
}

// wait returns the answer, or the end of ctx as a transient error.
func (c *call) wait(ctx context.Context) (*Token, error) {
	select {
	case <-c.done:
		return c.answer()
	case <-ctx.Done():
		return nil, &Error{Class: ClassUnavailable, Err: context.Cause(ctx)}
	}
}

// queue holds calls in order, waited-for ones before early ones. A call may be in
// both lists; the first pop marks it taken.
type queue struct {
	waited, early fifo
	depth         int // calls that wait for a worker
}

// fifo is a list of calls; pop skips the taken ones.
type fifo struct {
	calls []*call
	head  int
}

func (f *fifo) push(c *call) {
	if f.head > len(f.calls)/2 { // half of it is gone: move up instead of growing
		n := copy(f.calls, f.calls[f.head:])
		clear(f.calls[n:])
		f.calls, f.head = f.calls[:n], 0
	}
	f.calls = append(f.calls, c)
}

func (f *fifo) pop() *call {
	for f.head < len(f.calls) {
		c := f.calls[f.head]
		f.calls[f.head] = nil
		f.head++
		if !c.taken {
			return c
		}
	}
	f.calls, f.head = nil, 0 // let a burst's memory go
	return nil
}

func (q *queue) pop() *call {
	c := q.waited.pop()
	if c == nil {
		c = q.early.pop()
	}
	if c != nil {
		c.taken = true
		q.depth--
	}
	return c
}

// workers are the goroutines that do refreshes: at most "most", started on demand.
// They end when the queue is empty.
type workers struct {
	most int

	mu      sync.Mutex // guards the fields below
	closed  bool
	running int
	numbers []int // of workers that have ended, for the next ones
	queue   queue
	wg      sync.WaitGroup // workers, and what spawn was given
}

// enqueue queues c and starts a worker for it if there may be one more. False:
// closed.
func (w *workers) enqueue(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	if c.early {
		w.queue.early.push(c)
	} else {
		w.queue.waited.push(c)
	}
	w.queue.depth++
	if w.running < w.most {
		number := w.running
		if last := len(w.numbers) - 1; last >= 0 {
			number, w.numbers = w.numbers[last], w.numbers[:last]
		}
		w.running++
		w.wg.Go(func() { w.work(number) })
	}
	return true
}

// promote moves a call that was queued early in front of all early ones.
func (w *workers) promote(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.taken {
		w.queue.waited.push(c)
	}
}

// work does calls until the queue is empty, on the worker of that number.
func (w *workers) work(number int) {
	for {
		w.mu.Lock()
		c := w.queue.pop()
		if c == nil {
			w.running--
			w.numbers = append(w.numbers, number)
			w.mu.Unlock()
			return
		}
		closed := w.closed
		w.mu.Unlock()
		c.work(number, closed)
	}
}

func (w *workers) queueDepth() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queue.depth
}

// spawn runs f on its own goroutine, which wait waits for. After close f still
// runs, and wait does not wait for it.
func (w *workers) spawn(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		go f()
		return
	}
	w.wg.Go(f)
}

// close refuses further calls; the queued ones run with closed set. It reports
// whether this was the first close.
func (w *workers) close() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.closed
	w.closed = true
	return first
}
