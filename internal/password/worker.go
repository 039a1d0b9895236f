package password

import "runtime/debug"

// work is one worker: it computes slow hashes until the checker is closed.
func (c *Checker) work() {
	for comp := range c.queue {
		c.finish(comp, c.run(comp))
	}
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
