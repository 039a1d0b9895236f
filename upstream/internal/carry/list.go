package carry

// List holds connections, linked through them, newest first.
type List struct{ newest, oldest *Conn }

// Newest returns the one that was put in last, nil if there is none.
func (l *List) Newest() *Conn { return l.newest }

// Oldest returns the one that was put in first, nil if there is none.
func (l *List) Oldest() *Conn { return l.oldest }

// Older returns the next older one in the list of c, nil if there is none.
func (c *Conn) Older() *Conn { return c.older }

// In reports whether c is in l.
func (c *Conn) In(l *List) bool { return c.list == l }

// Push puts c in as the newest one.
func (l *List) Push(c *Conn) {
	c.older, c.newer, c.list = l.newest, nil, l
	if l.newest != nil {
		l.newest.newer = c
	} else {
		l.oldest = c
	}
	l.newest = c
}

// Unlink takes c out of its list, if it is in one.
func (c *Conn) Unlink() {
	l := c.list
	if l == nil {
		return
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		l.newest = c.older
	}
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		l.oldest = c.newer
	}
	c.newer, c.older, c.list = nil, nil, nil
}
