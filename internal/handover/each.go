package handover

// Each calls each with the counts of the account, as far as this process knows them. It
// changes nothing.
func (c *Counts) Each(account string, each func(hour int64, messages, recipients uint32)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil {
		c.file.Load(account, each)
		return
	}
	for hour, n := range c.total[account] {
		messages, recipients := n.counts()
		each(hour, messages, recipients)
	}
}
