package password

// Hashes counts the slow hashes that were computed.
func (c *Checker) Hashes() uint64 { return c.hashes.Load() }

// Hits counts the logins that the cache answered.
func (c *Checker) Hits() uint64 { return c.hits.Load() }

// Rejected counts the logins that were answered Busy.
func (c *Checker) Rejected() uint64 { return c.busy.Load() }

// Responses counts the CRAM-MD5 responses that were computed.
func (c *Checker) Responses() uint64 { return c.responses.Load() }

// Waiting is the number of logins that wait for a slow hash.
func (c *Checker) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}

// Cached is the number of logins that the cache knows.
func (c *Checker) Cached() int { return c.cache.len() }
