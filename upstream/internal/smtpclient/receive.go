package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Received implements loop.Handler.
func (c *Conn) Received(b []byte) {
	defer c.contain()
	if c.in == nil {
		c.keep(c.read(b))
		return
	}
	c.in.B = append(c.in.B, b...)
	if len(c.in.B) < codec.MaxReply {
		ends := false
		if bytes.IndexByte(b, '\n') >= 0 {
			ends, c.looked = codec.MayEnd(c.in.B, c.looked)
		}
		if !ends {
			return // not worth parsing
		}
	}
	c.keep(c.read(c.in.B))
}

// keep stores the beginning of a reply, which may be a part of what is stored.
func (c *Conn) keep(rest []byte) {
	if len(rest) == 0 {
		c.forget()
		return
	}
	if c.in == nil {
		c.in = codec.GetBuffer()
	}
	c.in.B, c.looked = append(c.in.B[:0], rest...), 0
}

// forget gives back the memory for input.
func (c *Conn) forget() {
	if c.in != nil {
		codec.PutBuffer(c.in)
		c.in = nil
	}
}

// read handles the replies in b, and returns the beginning of another one.
func (c *Conn) read(b []byte) (rest []byte) {
	for len(b) > 0 {
		switch c.state {
		case leaving, closed:
			return nil
		case idle, open, clearing:
			c.unasked()
			return nil
		}
		reply, n, err := c.parse(b)
		switch {
		case errors.Is(err, codec.ErrIncomplete):
			return b
		case err != nil:
			c.fail(fmt.Errorf("%w: %w", ErrProtocol, err))
			return nil
		}
		b = b[n:]
		c.rest = b
		c.reply(&reply)
		c.rest = nil
	}
	return nil
}

// parse reads the next reply. One that the client is not told may come without Enhanced
// and Text if it is one of success.
func (c *Conn) parse(b []byte) (codec.Reply, int, error) {
	if d := &c.due; d.mail || d.rcpt < d.rcpts && c.Exchange.whole() || d.data {
		if code, n := plainSuccess(b); n > 0 {
			return codec.Reply{Code: code}, n, nil
		}
	}
	reply, n, err := codec.ParseReply(b)
	if m := c.Exchange.Mail; m != nil && c.due.any() { // for the client; else m may be another session's
		reply.Text = codec.Printable(reply.Text, m.SMTPUTF8)
	}
	return reply, n, err
}

// unasked notes that the provider has said something unasked.
func (c *Conn) unasked() {
	if c.state == idle {
		c.spoil()
	}
	c.broken = true
}

// reply handles the reply that is due.
func (c *Conn) reply(reply *codec.Reply) {
	switch c.state {
	case resetting:
		c.resetReply(reply)
		return
	case quitting:
		c.Close()
		return
	}
	x, d := &c.Exchange, &c.due
	switch {
	case d.mail:
		d.mail = false
		x.heard(throttle.PhaseMail, reply)
	case d.rcpt < d.rcpts:
		c.rcptReply(reply)
	case d.data:
		d.data = false
		c.dataReply(reply)
	default:
		d.ending = false
		c.finalReply(reply)
	}
	switch {
	case !d.any():
		c.proceed()
	case x.Lost && x.Left && !x.Reply.IsZero():
		// 421 to the envelope, and the content is on its way: what else the provider says
		// before it closes shows whether that is the answer.
		c.setTimer(c.cfg.Quit)
	case x.Lost:
		c.end()
	}
}

// rcptReply handles the reply to the next recipient of those that were sent.
func (c *Conn) rcptReply(reply *codec.Reply) {
	x, d := &c.Exchange, &c.due
	for !x.Sends(d.rcpt) { // the last one before rcpts was sent
		d.rcpt++
	}
	if x.whole() {
		x.heard(throttle.PhaseRcpt, reply)
	} else {
		x.recipient(d.rcpt, *reply)
	}
	d.rcpt++
}

// dataReply handles the reply to DATA.
func (c *Conn) dataReply(reply *codec.Reply) {
	x := &c.Exchange
	x.heard(throttle.PhaseData, reply)
	c.go354 = reply.Code == 354
	if !c.go354 && x.open() {
		x.Fail(throttle.PhaseData, protocolError(throttle.PhaseData, reply))
	}
}

// finalReply handles the reply to the content, or to what ends content that is not to
// be sent. A refusal may come before all of the content has left: then the connection
// cannot go on, but the answer stands. An acceptance cannot mean what was not sent.
func (c *Conn) finalReply(reply *codec.Reply) {
	x := &c.Exchange
	early := c.state == content || c.conn.Buffered() > 0
	x.NoBDAT = c.refusesBDAT(reply)
	switch {
	case c.state == aborting:
		x.Lost = throttle.Closes(reply)
	case early && reply.Code >= 400:
		x.refused(throttle.PhaseFinal, *reply)
		x.Lost = true
	case early:
		x.Left = true // it is unknown what the provider means
		x.Fail(throttle.PhaseFinal, protocolError(throttle.PhaseContent, reply))
	default:
		x.final(*reply)
	}
	if x.NoBDAT {
		c.withoutBDAT()
	}
}

// refusesBDAT reports whether the reply to BDAT is that of a provider that offers BDAT and
// does not know it: it is not about the content then.
func (c *Conn) refusesBDAT(reply *codec.Reply) bool {
	x := &c.Exchange
	return x.BDAT && throttle.RefusesBDAT(reply, x.open() && x.anyRecipient(), x.Content.Size() < c.Offer.Size)
}

// withoutBDAT parts with a provider that has refused BDAT: it reads the content as
// commands, and so it must not get RSET, and what it accepts now is not the message. If a
// line may have it take a part of the content, its refusal proves nothing.
func (c *Conn) withoutBDAT() {
	x := &c.Exchange
	x.Lost = true
	if !x.Reply.IsZero() && c.sentTaker() {
		x.Left = true
		x.Err = fmt.Errorf("%w: %q to BDAT, and it may have read a line of the content as DATA", ErrProtocol, Cut(x.Reply.String()))
		x.Reply = codec.Reply{}
		return
	}
	for b := c.rest; ; {
		reply, n, err := codec.ParseReply(b)
		switch {
		case err != nil:
			return
		case reply.Code < 400 && !x.Reply.IsZero():
			x.contradict(&reply)
			return
		}
		b = b[n:]
	}
}

// answered is the phase of the last reply, before any content.
func (c *Conn) answered() throttle.Phase {
	switch {
	case c.go354:
		return throttle.PhaseData
	case c.rcpt > 0:
		return throttle.PhaseRcpt
	}
	return throttle.PhaseMail
}

// resetReply handles the reply to RSET.
func (c *Conn) resetReply(reply *codec.Reply) {
	if reply.Code/100 != 2 || len(c.rest) > 0 {
		c.leave()
		return
	}
	c.loop.SuspendTimer(&c.timer)
	c.state, c.since = idle, time.Now()
	c.owner.Cleared()
}

// plainSuccess recognizes one whole 2yz or 3yz reply of one line at the start of b; n is
// its length, 0 if there is none.
func plainSuccess(b []byte) (code, n int) {
	if len(b) < 5 || b[0] != '2' && b[0] != '3' || b[3] != ' ' || b[1] < '0' || b[1] > '9' || b[2] < '0' || b[2] > '9' {
		return 0, 0
	}
	i := bytes.IndexByte(b[4:], '\n')
	if i < 0 {
		return 0, 0
	}
	return int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0'), 4 + i + 1
}
