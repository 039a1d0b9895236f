// Package records makes accounting records of what sessions tell their clients: one for each
// outcome of a recipient, or for an envelope that is refused at MAIL.
//
// A recipient that is refused at RCPT has its record then. One that the client was told 250
// for has it with the answer to the content, or with the refusal of DATA or BDAT. If the
// client gives up before end-of-data, or its session ends, there is no outcome, and no
// record.
package records

import (
	"cmp"
	"errors"
	"net/netip"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/codec/header"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/upstream"
)

// Client is what records say of a session.
type Client struct {
	Session  uint64
	Addr     netip.Addr // invalid: a unix socket
	Listener string
	Account  *account.Account
}

// Pen writes the records of one loop. Only one goroutine at a time uses it.
type Pen struct {
	to *accounting.Log
	r  accounting.Record // the one that is being written
	id []byte
}

// NewPen returns a pen that writes nothing if to is nil.
func NewPen(to *accounting.Log) *Pen { return &Pen{to: to} }

// On reports whether records are kept.
func (p *Pen) On() bool { return p.to != nil }

// Identify notes the Message-ID of the content, which goes with tx.
func (p *Pen) Identify(tx *upstream.Transaction, content *codec.Content) {
	if p.to == nil || content == nil {
		return
	}
	p.id = header.MessageID(p.id[:0], content)
	tx.SetMessageID(p.id)
}

// Envelope records that MAIL was refused with r.
func (p *Pen) Envelope(c Client, args []byte, r codec.Reply) {
	if p.to == nil {
		return
	}
	p.begin(c, nil)
	if m, err := codec.ParseMail(args, anyExtension); err == nil {
		p.r.From, p.r.EnvID, p.r.Size = m.Path, m.EnvID, max(m.Size, 0)
	} else {
		p.r.From = args
	}
	p.verdict(r, nil, "MAIL")
	p.to.Put(&p.r)
}

// anyExtension has the parameters of all extensions understood: those that the client may
// not use are in the record all the same.
const anyExtension = ^codec.Extensions(0)

// Recipient records that the session has refused RCPT with r. cause is the failure that r
// tells of; nil: there is none.
func (p *Pen) Recipient(c Client, tx *upstream.Transaction, args []byte, r codec.Reply, cause error) {
	if p.to == nil {
		return
	}
	p.begin(c, tx)
	p.verdict(r, cause, "RCPT")
	if a, err := codec.ParseRcpt(args, anyExtension); err == nil {
		p.r.Rcpt, p.r.ORcpt = a.Path, a.ORcpt
	} else {
		p.r.Rcpt = args
	}
	p.to.Put(&p.r)
}

// Unsent records that the last n recipients of tx are refused with r, because of cause.
func (p *Pen) Unsent(c Client, tx *upstream.Transaction, n int, r codec.Reply, cause error) {
	if p.to == nil {
		return
	}
	p.begin(c, tx)
	p.verdict(r, cause, "RCPT")
	for i := len(tx.Rcpts) - n; i < len(tx.Rcpts); i++ {
		p.about(&tx.Rcpts[i])
	}
}

// Replied records the recipients of tx from number i on that the relay has refused.
func (p *Pen) Replied(c Client, tx *upstream.Transaction, i int) {
	if p.to == nil {
		return
	}
	for begun := false; i < len(tx.Rcpts); i++ {
		rcpt := &tx.Rcpts[i]
		if rcpt.Reply.Positive() {
			continue
		}
		if !begun {
			p.begin(c, tx)
			p.passage(tx)
			p.r.Queued, p.r.Done = tx.Place.Submitted, time.Now()
			begun = true
		}
		p.reply(rcpt.Reply)
		p.r.ByProvider, p.r.Class, p.r.Phase = !rcpt.Own, rcpt.Class, rcpt.Phase.String()
		p.about(rcpt)
	}
}

// Refused records that the client is told r, at the phase, for the recipients of tx that it
// was told 250 for. cause is the failure that r tells of; nil: there is none. A nil tx has
// none.
func (p *Pen) Refused(c Client, tx *upstream.Transaction, r codec.Reply, cause error, phase string) {
	if p.to == nil || tx == nil {
		return
	}
	p.begin(c, tx)
	p.passage(tx)
	p.verdict(r, cause, phase)
	p.told(tx)
}

// Message records the Result of tx, which has been sent, or could not be. late: the client
// is not told, or was told something else before.
func (p *Pen) Message(c Client, tx *upstream.Transaction, late bool) {
	if p.to == nil {
		return
	}
	c.Account = tx.Account
	res, r := &tx.Result, &p.r
	p.begin(c, tx)
	p.passage(tx)
	p.reply(res.Reply)
	r.Queued, r.Left, r.Done = tx.Place.Submitted, tx.Passage.Left, tx.Passage.Done
	r.ByProvider, r.Late, r.Upstream = res.ByProvider(), late, res.Upstream
	if res.Err != nil {
		r.Class, r.Phase, r.MaybeAccepted = upstream.ClassOf(res.Err), res.Phase.String(), res.Err.MaybeAccepted()
	}
	p.told(tx)
}

// begin begins a record about tx, which may be nil.
func (p *Pen) begin(c Client, tx *upstream.Transaction) {
	p.r = accounting.Record{Session: c.Session, Client: c.Addr, Listener: c.Listener, Account: c.Account}
	if tx != nil {
		p.r.From, p.r.EnvID, p.r.MessageID, p.r.Size = tx.Mail.Path, tx.Mail.EnvID, tx.MessageID, tx.Size()
	}
}

// passage adds by what connection the transaction went.
func (p *Pen) passage(tx *upstream.Transaction) {
	g := &tx.Passage
	p.r.Attempts, p.r.Began = g.Attempts, g.Began
	if w := g.Wire; w != nil {
		p.r.Connection, p.r.Local, p.r.Remote, p.r.Upstream = w.Number, w.Local, w.Remote, w.Upstream
	}
}

// reply adds what the client is told.
func (p *Pen) reply(reply codec.Reply) {
	r := &p.r
	switch r.Reply = reply; {
	case reply.Positive():
		r.Kind = accounting.Delivered
	case reply.Permanent():
		r.Kind = accounting.Refused
	default:
		r.Kind = accounting.Deferred
	}
}

// verdict adds what the session has decided, just now.
func (p *Pen) verdict(reply codec.Reply, cause error, phase string) {
	p.reply(reply)
	r := &p.r
	r.Queued = time.Now()
	r.Done = r.Queued
	if cause == nil {
		r.Class, r.Phase = classOf(&reply), phase
		return
	}
	r.Class, r.Phase = upstream.ClassOf(cause), "queue"
	if e, ok := errors.AsType[*upstream.Error](cause); ok {
		r.ByProvider, r.MaybeAccepted, r.Phase = e.ByProvider(), e.MaybeAccepted(), e.Phase.String()
		r.Upstream = cmp.Or(r.Upstream, e.Upstream)
	}
}

// told gives the record away for each recipient that the client was told 250 for.
func (p *Pen) told(tx *upstream.Transaction) {
	for i := range tx.Rcpts {
		if tx.Rcpts[i].Told {
			p.about(&tx.Rcpts[i])
		}
	}
}

// about gives the record away for one recipient.
func (p *Pen) about(rcpt *upstream.Recipient) {
	p.r.Rcpt, p.r.ORcpt = rcpt.Args.Path, rcpt.Args.ORcpt
	p.to.Put(&p.r)
}
