package oauth

import (
	"context"
	"time"

	"xoauth2-proxy/internal/watchdog"
)

// wait returns the answer, or the end of ctx as a transient error.
func (c *call) wait(ctx context.Context) (*Token, error) {
	select {
	case <-c.done:
		return c.answer()
	case <-ctx.Done():
		return nil, &Error{Class: ClassUnavailable, Err: context.Cause(ctx)}
	}
}

// A call is one refresh of one source, from being asked for to its answer.
type call struct {
	source *Source
	early  bool      // nobody waits for it yet; guarded by Source.mu
	forced bool      // whatever is remembered or stored; guarded by Source.mu
	asked  time.Time // when it was queued, or first waited for
	// waiters are told on the worker. Guarded by Source.mu.
	waiters []func(*Token, error)
	// stuck: its worker does not come back, and nobody is to wait for it. Guarded by
	// Source.mu.
	stuck bool

	taken bool // by a worker; guarded by Manager.mu

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

// queue holds calls in order, those with somebody waiting before the others. A
// call may be in both lists; whoever takes it first marks it taken.
type queue struct {
	waited, early fifo
	depth         int // calls not taken
}

// fifo is a list of calls; taken ones are skipped when met.
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

// enqueue queues c and sees to it that a worker takes it. False: closed.
func (m *Manager) enqueue(c *call) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	if c.early {
		m.queue.early.push(c)
	} else {
		m.queue.waited.push(c)
	}
	m.queue.depth++
	if m.workers < m.cfg.MaxParallel {
		number := m.workers
		if last := len(m.numbers) - 1; last >= 0 {
			number, m.numbers = m.numbers[last], m.numbers[:last]
		}
		m.workers++
		m.wg.Go(func() { m.work(number) })
	}
	return true
}

// promote moves a call that was queued early in front of all early ones.
func (m *Manager) promote(c *call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !c.taken {
		m.queue.waited.push(c)
	}
}

// work runs calls until the queue is empty, on the worker of that number.
func (m *Manager) work(number int) {
	for {
		m.mu.Lock()
		c := m.queue.pop()
		if c == nil {
			m.workers--
			m.numbers = append(m.numbers, number)
			m.mu.Unlock()
			return
		}
		closed := m.closed
		m.mu.Unlock()
		part := m.cfg.Watch.Begin(watchdog.Task{
			Kind: watchdog.TokenWorker, Number: number, Beyond: m.cfg.Timeout,
			Func: "oauth.(*Source).run", On: c.source, Stuck: func() { c.source.abandon(c) },
		})
		c.source.run(c, closed)
		part.Remove()
	}
}

func (m *Manager) queueDepth() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queue.depth
}

// spawn runs f on its own goroutine, which Close waits for. After Close nobody
// waits for it any more, but f is still called.
func (m *Manager) spawn(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		go f()
		return
	}
	m.wg.Go(f)
}
