package upstream

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/throttle"
)

// oneFlightMax is the most content that is sent before the replies to MAIL and
// RCPT are there. A bigger message takes so long that a round trip does not
// matter, and is not sent in vain to a recipient that is refused.
const oneFlightMax = 1 << 20

// records are buffers of the plaintext of one TLS record; a worker has one
// only while it writes.
var records = sync.Pool{New: func() any { b := make([]byte, 0, recordSize); return &b }}

// whole sends a message to one recipient, in as few flights as the upstream's
// extensions allow (RFC 2920, RFC 3030). The attempt has the answer.
func (w *worker) whole(c *conn, tx *Transaction, a *attempt, now time.Time) {
	if reply := unsupported(c, tx); !reply.IsZero() {
		a.decline(PhaseMail, reply)
		return
	}
	if w.relay.cfg.DryRun {
		a.reply = replyDryRun
		return
	}
	mail := w.envelope(c, tx)
	switch pipelining, chunking := c.ext.Has(codec.ExtPIPELINING), c.ext.Has(codec.ExtCHUNKING); {
	case pipelining && chunking && tx.Content.Size() <= oneFlightMax:
		w.oneFlight(c, tx, a, now)
	case pipelining && chunking:
		if w.command(c, a, PhaseMail, w.line) && w.envelopeReplies(c, a) {
			w.bdat(c, tx, a)
		}
	case pipelining:
		w.line = append(w.line, "DATA\r\n"...)
		if w.command(c, a, PhaseMail, w.line) {
			w.envelopeReplies(c, a)
			w.dataReply(c, tx, a)
		}
	default:
		if w.step(c, a, PhaseMail, w.line[:mail]) && w.step(c, a, PhaseRcpt, w.line[mail:]) {
			w.content(c, tx, a)
		}
	}
}

// envelope puts MAIL and RCPT of a whole message into line; mail is the length of
// the first.
func (d *dialogue) envelope(c *conn, tx *Transaction) (mail int) {
	tx.Mail.Size = tx.Content.Size()
	d.line = tx.Mail.AppendTo(d.line[:0], c.ext)
	mail = len(d.line)
	d.line = tx.Rcpts[0].Args.AppendTo(d.line, c.ext)
	return mail
}

// unsupported returns the reply for a message that needs what the upstream
// does not offer; zero if there is no such need.
func unsupported(c *conn, tx *Transaction) codec.Reply {
	switch m := &tx.Mail; {
	case m.SMTPUTF8 && !c.ext.Has(codec.ExtSMTPUTF8):
		return codec.ReplyNoUTF8Upstream
	case m.Body == codec.BodyBinaryMIME && !c.ext.Has(codec.ExtBINARYMIME|codec.ExtCHUNKING):
		return replyNoBinaryMIME
	case m.Body == codec.Body8BitMIME && !c.ext.Has(codec.Ext8BITMIME):
		return replyNo8BitMIME
	}
	size := tx.Mail.Size
	if tx.Content != nil {
		size = tx.Content.Size()
	}
	if tooBig(c, tx, size) {
		return codec.ReplyTooBig
	}
	return codec.Reply{}
}

// tooBig reports whether content of that size exceeds what the upstream or the
// account allows.
func tooBig(c *conn, tx *Transaction, size int64) bool {
	limit := tx.Account.Limits.MaxMessageSize
	return c.size > 0 && size > c.size || limit > 0 && size > limit
}

// oneFlight sends MAIL, RCPT, BDAT and the content at once: one round trip.
func (w *worker) oneFlight(c *conn, tx *Transaction, a *attempt, now time.Time) {
	if err := c.setDeadline(now, w.relay.finalTimeout(tx, now)); err != nil {
		a.failed(PhaseMail, err)
		return
	}
	werr := w.writeBdat(c, tx, w.line)
	a.left = c.wire.left
	tx.sent(c)
	if werr != nil && !w.lastWords(c) {
		a.failed(PhaseMail, werr)
		return
	}
	for p := PhaseMail; ; p++ {
		if p == PhaseData {
			p = PhaseFinal
		}
		reply, ok := w.expectReply(c, a, p)
		if !ok {
			break
		}
		if p == PhaseFinal {
			a.final(reply, werr)
			break
		}
	}
	if werr != nil {
		a.failed(PhaseMail, werr)
	}
}

// lastWords prepares for reading what the upstream said before it stopped
// reading: that may be the reason.
func (w *worker) lastWords(c *conn) bool {
	return c.setDeadline(time.Now(), w.relay.cfg.QuitTimeout) == nil
}

// final notes the reply to the content, unless something was refused before:
// that refusal is the answer. Should the content be taken all the same, the
// replies do not fit the commands, and nobody knows who has the message. After
// an error of writing the content, a reply of success cannot mean the message.
func (a *attempt) final(reply codec.Reply, werr error) {
	switch {
	case a.outOfStep(&reply):
		a.phase = PhaseFinal
	case !a.open():
	case werr != nil:
		a.failed(PhaseContent, werr)
	default:
		a.phase, a.reply = PhaseFinal, reply
	}
}

// command sends a flight of commands.
func (w *worker) command(c *conn, a *attempt, p Phase, commands []byte) bool {
	cfg := &w.relay.cfg
	timeout := cfg.CommandTimeout
	if p == PhaseData {
		timeout = cfg.DataTimeout
	}
	err := c.setDeadline(time.Now(), timeout)
	if err == nil {
		_, err = c.rw.Write(commands)
	}
	if err != nil {
		a.failed(p, err)
	}
	return err == nil
}

// step sends one command and reads its reply; false if it was refused or
// failed.
func (w *worker) step(c *conn, a *attempt, p Phase, command []byte) bool {
	if !w.command(c, a, p, command) {
		return false
	}
	_, ok := w.expectReply(c, a, p)
	return ok && a.open()
}

// envelopeReplies reads the replies to MAIL and one RCPT; false if one was
// refused or there is none.
func (w *worker) envelopeReplies(c *conn, a *attempt) bool {
	if _, ok := w.expectReply(c, a, PhaseMail); ok {
		w.expectReply(c, a, PhaseRcpt)
	}
	return a.open()
}

// dataReply reads the reply to a DATA that was pipelined behind the envelope,
// and sends the content. If the envelope was refused and DATA accepted all the
// same, it ends the content at once (RFC 2920 section 3.1).
func (w *worker) dataReply(c *conn, tx *Transaction, a *attempt) {
	if a.lost {
		return
	}
	reply, ok := w.expectReply(c, a, PhaseData)
	switch {
	case !ok || reply.Code != 354:
		if ok && a.open() {
			a.failed(PhaseData, fmt.Errorf("%w: DATA answered by %q", ErrProtocol, cut(reply.String())))
		}
	case a.open():
		w.dotStuffed(c, tx, a)
	default:
		if w.command(c, a, PhaseData, []byte(".\r\n")) {
			if reply, err := w.in.next(c, false); err != nil || throttle.Closes(&reply) {
				a.lost = true
			}
		}
	}
}

// content sends the content of an envelope that was accepted: with BDAT, which
// leaves it as it is, or else with DATA.
func (w *worker) content(c *conn, tx *Transaction, a *attempt) {
	if c.ext.Has(codec.ExtCHUNKING) {
		w.bdat(c, tx, a)
	} else if w.command(c, a, PhaseData, []byte("DATA\r\n")) {
		w.dataReply(c, tx, a)
	}
}

// bdat sends the content as one last chunk and reads the final reply.
func (w *worker) bdat(c *conn, tx *Transaction, a *attempt) {
	now := time.Now()
	err := c.setDeadline(now, w.relay.finalTimeout(tx, now))
	if err == nil {
		err = w.writeBdat(c, tx, w.line[:0])
	}
	tx.sent(c)
	w.awaitFinal(c, a, err)
}

// dotStuffed sends the content behind 354 and reads the final reply.
func (w *worker) dotStuffed(c *conn, tx *Transaction, a *attempt) {
	now := time.Now()
	err := c.setDeadline(now, w.relay.finalTimeout(tx, now))
	if err == nil {
		rec := recordWriter{dst: c.rw, buf: records.Get().(*[]byte)}
		c.wire.cork(w.relay.cfg.ContentTimeout, tx.deadline)
		if err = tx.Content.WriteDotStuffed(&rec); err == nil {
			err = rec.flush()
		}
		err = uncork(c, err)
		records.Put(rec.buf)
	}
	tx.sent(c)
	w.awaitFinal(c, a, err)
}

// awaitFinal reads the reply to the content, after err of writing it.
func (w *worker) awaitFinal(c *conn, a *attempt, err error) {
	a.left = c.wire.left
	a.phase = PhaseContent
	if err != nil && !w.lastWords(c) {
		a.failed(PhaseContent, err)
		return
	}
	if reply, ok := w.expectReply(c, a, PhaseFinal); ok {
		a.final(reply, err)
	}
	if err != nil {
		a.failed(PhaseContent, err)
	}
}

// writeBdat writes the commands, BDAT with the whole content as its last chunk,
// and the content. If it fits one TLS record it is one record and one write.
func (d *dialogue) writeBdat(c *conn, tx *Transaction, commands []byte) error {
	commands = append(commands, "BDAT "...)
	commands = strconv.AppendInt(commands, tx.Content.Size(), 10)
	commands = append(commands, " LAST\r\n"...)
	d.line = commands[:0]
	if int64(len(commands))+tx.Content.Size() <= recordSize {
		buf := records.Get().(*[]byte)
		b := append((*buf)[:0], commands...)
		for i := range tx.Content.NumSegments() {
			b = append(b, tx.Content.Segment(i)...)
		}
		c.wire.last = true
		_, err := c.rw.Write(b)
		records.Put(buf)
		return err
	}
	c.wire.cork(d.relay.cfg.ContentTimeout, tx.deadline)
	_, err := c.rw.Write(commands)
	if err == nil {
		_, err = tx.Content.WriteTo(c.rw)
	}
	return uncork(c, err)
}

// uncork writes out the rest of a flight that ends the content, after err of
// the writes so far.
func uncork(c *conn, err error) error {
	c.wire.last = true
	c.deadline = time.Time{} // the write deadline is another one now
	if uerr := c.wire.uncork(err != nil); err == nil {
		err = uerr
	}
	return err
}

// finalTimeout is how long the upstream may take for the final reply: never
// longer than the client waits.
func (r *Relay) finalTimeout(tx *Transaction, now time.Time) time.Duration {
	return max(time.Second, min(r.cfg.FinalTimeout, tx.deadline.Sub(now)*7/8))
}

// recordWriter gathers small writes into whole TLS records.
type recordWriter struct {
	dst io.Writer
	buf *[]byte
}

func (r *recordWriter) Write(p []byte) (int, error) {
	b := *r.buf
	for rest := p; len(rest) > 0; {
		n := min(len(rest), recordSize-len(b))
		b, rest = append(b, rest[:n]...), rest[n:]
		if len(b) == recordSize {
			if _, err := r.dst.Write(b); err != nil {
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
	_, err := r.dst.Write(b)
	return err
}
