// Package workers has the goroutines that refresh tokens, and the queue before them.
package workers

import "sync"

// Task is one piece of work. Who enqueues it guards Early while it waits.
type Task struct {
	Work  func(number int, closed bool) // does it, on the worker of that number
	Early bool                          // nothing waits for it yet

	taken bool // by a worker; guarded by Workers.mu
}

// queue holds tasks in order, waited-for ones before early ones. A task may be in
// both lists; the first pop marks it taken.
type queue struct {
	waited, early fifo
	depth         int // tasks that wait for a worker
}

// fifo is a list of tasks; pop skips the taken ones.
type fifo struct {
	tasks []*Task
	head  int
}

func (f *fifo) push(c *Task) {
	if f.head > len(f.tasks)/2 { // half of it is gone: move up instead of growing
		n := copy(f.tasks, f.tasks[f.head:])
		clear(f.tasks[n:])
		f.tasks, f.head = f.tasks[:n], 0
	}
	f.tasks = append(f.tasks, c)
}

func (f *fifo) pop() *Task {
	for f.head < len(f.tasks) {
		c := f.tasks[f.head]
		f.tasks[f.head] = nil
		f.head++
		if !c.taken {
			return c
		}
	}
	f.tasks, f.head = nil, 0 // let a burst's memory go
	return nil
}

func (q *queue) pop() *Task {
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

// Workers are the goroutines that do tasks: at most Most, started on demand.
// They end when the queue is empty.
type Workers struct {
	// Most is how many there are at most. It must not be changed after the first use.
	Most int

	mu      sync.Mutex // guards the fields below
	closed  bool
	running int
	numbers []int // of workers that have ended, for the next ones
	queue   queue
	wg      sync.WaitGroup // workers, and what Spawn was given
}

// Enqueue queues c and starts a worker for it if there may be one more. False:
// closed.
func (w *Workers) Enqueue(c *Task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	if c.Early {
		w.queue.early.push(c)
	} else {
		w.queue.waited.push(c)
	}
	w.queue.depth++
	if w.running < w.Most {
		number := w.running
		if last := len(w.numbers) - 1; last >= 0 {
			number, w.numbers = w.numbers[last], w.numbers[:last]
		}
		w.running++
		w.wg.Go(func() { w.work(number) })
	}
	return true
}

// Promote moves a task that was queued early in front of all early ones.
func (w *Workers) Promote(c *Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.taken {
		w.queue.waited.push(c)
	}
}

// work does tasks until the queue is empty, on the worker of that number.
func (w *Workers) work(number int) {
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
		c.Work(number, closed)
	}
}

// Depth is how many tasks wait for a worker.
func (w *Workers) Depth() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queue.depth
}

// Spawn runs f on its own goroutine, which Wait waits for. After Close f still
// runs, and Wait does not wait for it.
func (w *Workers) Spawn(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		go f()
		return
	}
	w.wg.Go(f)
}

// Close refuses further tasks; the queued ones run with closed set. It reports
// whether this was the first close.
func (w *Workers) Close() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.closed
	w.closed = true
	return first
}

// Wait waits for the workers, and for what Spawn was given before Close.
func (w *Workers) Wait() { w.wg.Wait() }
