package smtpclient

import (
	"net"
	"strconv"
	"sync"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/loop"
)

const (
	// TurnSize is the most content, in octets, that a connection sends before the others
	// of its loop have their turn, and that goes with the envelope.
	TurnSize = 256 << 10
	// longTurn is the same for a connection whose whole turns leave at once: 1 MiB and a
	// header. It takes half a millisecond. The larger writes are, the fewer contents are
	// under way at a time, and the less often the other side is woken: 1 MB costs 15 % less
	// CPU. What a socket does not take is kept until it has left, so that a slow connection
	// has TurnSize.
	longTurn = 1088 << 10
	// recordSize is the most plaintext that fits a TLS record (RFC 8446 section 5.1).
	recordSize = 16 << 10
)

// records are buffers of the plaintext of one TLS record.
var records = sync.Pool{New: func() any { b := make([]byte, 0, recordSize); return &b }}

// CannotCarry returns the reply for a message that needs what the provider does not
// offer; zero if there is no such need.
func (c *Conn) CannotCarry() codec.Reply {
	c.examine()
	x := &c.Exchange
	switch m := x.Mail; {
	case x.needs.Has(codec.ExtSMTPUTF8) && !c.Offer.Has(codec.ExtSMTPUTF8):
		return codec.ReplyNoUTF8Upstream
	case m.Body == codec.BodyBinaryMIME && !c.Offer.Has(codec.ExtBINARYMIME|codec.ExtCHUNKING):
		return replyNoBinaryMIME
	case m.Body == codec.Body8BitMIME && x.needs.Has(codec.Ext8BITMIME) && !c.Offer.Has(codec.Ext8BITMIME):
		return replyNo8BitMIME
	}
	size := x.Mail.Size
	if x.Content != nil {
		size = x.Content.Size()
	}
	if c.tooBig(size) {
		return codec.ReplyTooBig
	}
	return codec.Reply{}
}

var (
	replyNoBinaryMIME = codec.Reply{Code: 554, Enhanced: codec.EnhancedCode{5, 6, 3}, Text: "The account's provider does not support BINARYMIME", Hint: hint.BinaryMIMEUnsupported}
	replyNo8BitMIME   = codec.Reply{Code: 554, Enhanced: codec.EnhancedCode{5, 6, 3}, Text: "The account's provider does not support 8BITMIME", Hint: hint.Body8BitUnsupported}
)

// tooBig reports whether content of that size exceeds what the provider or the owner
// allows.
func (c *Conn) tooBig(size int64) bool {
	limit := c.Exchange.MaxSize
	return c.Offer.Size > 0 && size > c.Offer.Size || limit > 0 && size > limit
}

// nextRcpt finds the next recipient that is to be sent.
func (c *Conn) nextRcpt() bool {
	x := &c.Exchange
	for c.rcpt < x.To && !x.Sends(c.rcpt) {
		c.rcpt++
	}
	return c.rcpt < x.To
}

// Sends reports whether recipient i is to be sent.
func (x *Exchange) Sends(i int) bool {
	r := &x.Rcpts[i].Reply
	return r.IsZero() || x.Repeat && r.Positive()
}

// sendEnvelope sends what can be sent of MAIL and the recipients: all of it with
// PIPELINING, and the content too if it is that of a whole message and fits one turn
// (RFC 2920, RFC 3030), else one command.
func (c *Conn) sendEnvelope() {
	x := &c.Exchange
	ahead := c.Offer.Has(codec.ExtPIPELINING)
	line := codec.GetBuffer()
	defer codec.PutBuffer(line)
	if !c.sent {
		line.B = c.declare().AppendTo(line.B, c.Offer.Extensions)
		c.sent, c.due.mail = true, true
	}
	c.due.rcpt, c.due.rcpts = c.rcpt, c.rcpt
	for (ahead || len(line.B) == 0) && c.nextRcpt() {
		line.B = x.Rcpts[c.rcpt].Args.AppendTo(line.B, c.Offer.Extensions)
		c.rcpt++
		c.due.rcpts = c.rcpt
	}
	if ahead && x.whole() {
		if !c.Offer.Has(codec.ExtCHUNKING) {
			line.B = append(line.B, "DATA\r\n"...)
			c.due.data = true
		} else if x.Content.Size() <= int64(c.turnSize()) {
			c.sendContent(line)
			return
		}
	}
	c.sendCommands(line.B, c.cfg.Command)
}

// sendData sends DATA.
func (c *Conn) sendData() {
	c.due.data = true
	c.sendCommands(dataLine, c.cfg.Data)
}

// abort ends the content that a 354 asks for though the envelope was refused (RFC 2920
// section 3.1).
func (c *Conn) abort() {
	c.go354, c.state, c.due.ending = false, aborting, true
	c.sendCommands(endLine, c.cfg.Data)
}

var dataLine, endLine = []byte("DATA\r\n"), []byte(".\r\n")

// sendCommands sends commands whose replies are due.
func (c *Conn) sendCommands(b []byte, timeout time.Duration) {
	if err := c.write(b); err != nil {
		c.gone(err)
		return
	}
	c.setTimer(timeout)
}

// write sends b. On an error the connection is closed, and gone is to be called.
func (c *Conn) write(b []byte) error {
	if c.conn == nil {
		return net.ErrClosed
	}
	c.writing = true
	err := c.conn.Write(b)
	c.writing = false
	return err
}

// sendContent begins to send the content: with BDAT, which leaves it as it is, after
// the commands in line, or after 354. line may be nil.
func (c *Conn) sendContent(line *codec.Buffer) {
	x := &c.Exchange
	c.due.ending = true
	c.state, c.dots = content, c.go354
	if c.go354 {
		c.go354 = false
		c.sendTurn(nil)
		return
	}
	if line == nil {
		line = codec.GetBuffer()
		defer codec.PutBuffer(line)
	}
	x.BDAT = true
	line.B = append(line.B, "BDAT "...)
	line.B = strconv.AppendInt(line.B, x.Content.Size(), 10)
	line.B = append(line.B, " LAST\r\n"...)
	c.sendTurn(line.B)
}

// sendTurn sends the commands and the next part of the content, which is all of it for
// most messages. What fits one TLS record is one record.
func (c *Conn) sendTurn(commands []byte) {
	x := &c.Exchange
	if c.conn == nil {
		c.gone(nil)
		return
	}
	n, size, to := x.Content.NumSegments(), 0, c.segment
	for ; to < n && size+len(x.Content.Segment(to)) <= c.turnSize(); to++ {
		size += len(x.Content.Segment(to))
	}
	c.writing = true
	err := c.gather(commands, to, size)
	if err == nil {
		err = c.conn.Flush()
	}
	c.writing = false
	if err != nil { // nothing of this turn has left
		c.gone(err)
		return
	}
	c.segment = to
	c.fast = c.conn.Buffered() == 0 && (c.fast || to < n) // a small content shows nothing
	if to == n {
		c.state, x.Left = final, true
		if !x.Keep {
			x.Content.Discard() // the answer may take long
		}
	}
	switch {
	case c.conn.Buffered() > 0:
		c.setTimerUntil(c.cfg.Content)
	case to == n:
		c.awaitFinal()
	default:
		c.setTimerUntil(c.cfg.Content)
		c.loop.Next((*turn)(c))
	}
}

// turnSize is the most content of the next turn.
func (c *Conn) turnSize() int {
	if c.fast {
		return longTurn
	}
	return TurnSize
}

// gather encrypts the commands and the content up to segment to.
func (c *Conn) gather(commands []byte, to, size int) error {
	x := &c.Exchange
	if c.dots {
		rec := recordWriter{c.conn, records.Get().(*[]byte)}
		defer records.Put(rec.buf)
		if err := x.Content.WriteDotStuffed(&rec, c.segment, to); err != nil {
			return err
		}
		return rec.flush()
	}
	if len(commands)+size > recordSize {
		if len(commands) > 0 {
			if err := c.conn.Gather(commands); err != nil {
				return err
			}
		}
		for i := c.segment; i < to; i++ {
			if err := c.conn.Gather(x.Content.Segment(i)); err != nil {
				return err
			}
		}
		return nil
	}
	buf := records.Get().(*[]byte)
	defer records.Put(buf)
	b := append((*buf)[:0], commands...)
	for i := c.segment; i < to; i++ {
		b = append(b, x.Content.Segment(i)...)
	}
	return c.conn.Gather(b)
}

// turn is a connection that goes on sending.
type turn Conn

// Run implements loop.Runner.
func (t *turn) Run() {
	c := (*Conn)(t)
	defer c.contain()
	c.goOn()
}

// goOn sends the next part of the content, if all before it has left. What the provider
// has said meanwhile is read first: it may be why it stops reading.
func (c *Conn) goOn() {
	switch {
	case c.state != content || c.conn == nil || c.conn.Buffered() > 0:
	case c.conn.Unread() != loop.InputUnread:
		c.sendTurn(nil)
	default:
		c.loop.Next((*turn)(c))
	}
}

// Drained implements loop.Handler.
func (c *Conn) Drained() {
	defer c.contain()
	if c.state == final {
		c.awaitFinal()
		return
	}
	c.goOn()
}

// Progressed implements loop.Progressor: the provider reads.
func (c *Conn) Progressed() {
	if c.state == content || c.state == final {
		c.setTimerUntil(c.cfg.Content)
	}
}

// awaitFinal begins to wait for the reply to the content, which has left.
func (c *Conn) awaitFinal() {
	x := &c.Exchange
	c.awaited, x.LeftAt = c.loop.Now(), time.Now()
	c.setTimer(min(c.cfg.Final, max(0, x.Until.Sub(x.LeftAt))))
}

// setTimerUntil is setTimer within the time of the exchange.
func (c *Conn) setTimerUntil(d time.Duration) {
	c.setTimer(min(d, max(0, time.Until(c.Exchange.Until))))
}

// recordWriter gathers small writes into whole TLS records.
type recordWriter struct {
	dst *loop.Conn
	buf *[]byte
}

func (r *recordWriter) Write(p []byte) (int, error) {
	b := *r.buf
	for rest := p; len(rest) > 0; {
		n := min(len(rest), recordSize-len(b))
		b, rest = append(b, rest[:n]...), rest[n:]
		if len(b) == recordSize {
			if err := r.dst.Gather(b); err != nil {
				*r.buf = b[:0]
				return 0, err
			}
			b = b[:0]
		}
	}
	*r.buf = b
	return len(p), nil
}

// flush writes what is left.
func (r *recordWriter) flush() error {
	b := *r.buf
	*r.buf = b[:0]
	if len(b) == 0 {
		return nil
	}
	return r.dst.Gather(b)
}
