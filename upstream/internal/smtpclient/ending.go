package smtpclient

import (
	"time"

	"xoauth2-proxy/codec"
)

// Clear makes the connection fit for another exchange by RSET, where reset is true,
// or else closes it; Cleared or Closed is next. It waits for what the loop has read
// already: something unasked rules RSET out, whose reply would be a wrong one. It
// returns false if Closed was called before.
func (c *Conn) Clear(reset bool) bool {
	if c.state == closed {
		return false
	}
	c.broken = c.broken || !reset
	c.state = clearing
	c.loop.Later((*clearance)(c))
	return true
}

// clearance is a connection that sends RSET, or leaves.
type clearance Conn

// Run implements loop.Runner.
func (r *clearance) Run() {
	c := (*Conn)(r)
	defer c.contain()
	if c.state != clearing {
		return
	}
	switch c.Look(time.Now()) {
	case Pending:
		if c.loop.Post(r) {
			return
		}
		c.leave()
	case Stale:
		c.leave()
	default:
		c.state = resetting
		c.command("RSET\r\n", c.cfg.Command)
	}
}

// Quit says QUIT and closes the connection after the reply, or Config.Quit. It returns
// false if Closed was called before.
func (c *Conn) Quit() bool {
	if c.state == closed {
		return false
	}
	c.quit()
	return true
}

// quit begins to quit.
func (c *Conn) quit() {
	defer c.contain()
	if c.broken {
		c.Close()
		return
	}
	c.state = quitting
	c.command("QUIT\r\n", c.cfg.Quit)
}

// leave closes our side and waits a little for the peer to close too: until then the
// provider counts the connection, and so must we.
func (c *Conn) leave() {
	c.broken = true
	if c.conn == nil || c.eof || c.conn.Buffered() > 0 {
		c.Close()
		return
	}
	c.state = leaving
	c.writing = true
	c.conn.CloseWrite()
	c.writing = false
	if c.conn == nil {
		c.gone(nil)
		return
	}
	c.setTimer(c.cfg.Quit)
}

// Close closes the connection at once.
func (c *Conn) Close() {
	if c.conn != nil {
		c.conn.Close()
	}
}

// command sends one command outside of an exchange.
func (c *Conn) command(line string, timeout time.Duration) {
	b := codec.GetBuffer()
	b.B = append(b.B, line...)
	err := c.write(b.B)
	codec.PutBuffer(b)
	if err != nil {
		c.gone(err)
		return
	}
	c.setTimer(timeout)
}
