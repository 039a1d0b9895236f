package password

import "runtime/debug"

// compute is one worker: it computes slow hashes until the checker is closed.
func (c *Checker) compute() {
	for comp := c.take(); comp != nil; comp = c.take() {
		c.finish(comp, c.run(comp))
	}
}

// take waits for the next computation; nil: there is none, and the checker is closed.
func (c *Checker) take() *computation {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if comp := c.queue.take(); comp != nil || c.closed {
			return comp
		}
		c.work.Wait()
	}
}

// turns is a queue in which sources take turns. The zero value is empty.
type turns struct {
	order    []key // sources with computations, the next one first
	bySource map[key][]*computation
}

func (q *turns) add(source key, comp *computation) {
	if q.bySource == nil {
		q.bySource = make(map[key][]*computation)
	}
	if len(q.bySource[source]) == 0 {
		q.order = append(q.order, source)
	}
	q.bySource[source] = append(q.bySource[source], comp)
}

// take returns nil if the queue is empty.
func (q *turns) take() *computation {
	if len(q.order) == 0 {
		return nil
	}
	source := q.order[0]
	q.order = q.order[1:]
	comp, rest := q.bySource[source][0], q.bySource[source][1:]
	if len(rest) > 0 {
		q.bySource[source] = rest
		q.order = append(q.order, source)
	} else {
		delete(q.bySource, source)
	}
	return comp
}

// run computes one slow hash, unless the checker is closed meanwhile. A panic, which would
// end the process, is reported and makes the result Busy.
func (c *Checker) run(comp *computation) (r Result) {
	defer func() {
		if p := recover(); p != nil {
			r = Busy
			c.panicked(p, debug.Stack())
		}
	}()
	need := comp.secret.memory()
	if c.ctx.Err() != nil || c.memory.Acquire(c.ctx, need) != nil {
		return Busy
	}
	defer c.memory.Release(need)
	c.hashes.Add(1)
	if comp.secret.verify(comp.password) {
		return Allowed
	}
	return Refused
}

// finish calls all callbacks that wait for the computation.
func (c *Checker) finish(comp *computation, r Result) {
	clear(comp.password)
	if r == Allowed {
		// Before underway forgets it, or the next login would compute it again.
		c.cache.add(&comp.key)
	}
	c.mu.Lock()
	delete(c.underway, comp.key)
	waiting := comp.waiting
	c.waiting -= len(waiting)
	c.mu.Unlock()
	for _, done := range waiting {
		done(r)
	}
}
