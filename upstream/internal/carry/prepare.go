package carry

import (
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/lease"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Replies of a dry run.
var (
	replyDryRun     = codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 0, 0}, Text: "dry run: not sent"}
	replyDryRunRcpt = codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 1, 5}, Text: "dry run: not sent"}
)

// prepare sets what is to be sent of tx.
func (c *Conn) prepare(tx *Transaction, now time.Time) {
	x := &c.client.Exchange
	c.client.Offer.Extensions = c.offered &^ c.at.without(&tx.Mail, now)
	*x = smtpclient.Exchange{Mail: &tx.Mail, Content: tx.Content, Promised: tx.FirstAnswered, Repeat: tx.told,
		MaxSize: tx.Account.Limits.MaxMessageSize, Keep: c.a.mayRepeat(c.client.Offer)}
	if tx.Content != nil {
		tx.Mail.Size = tx.Content.Size()
	}
	if !tx.told {
		for i := range tx.Rcpts {
			tx.Rcpts[i].Reply, tx.Rcpts[i].Refusal = codec.Reply{}, smtpclient.Refusal{}
		}
		tx.noted = 0
	}
	tx.admitted, tx.placed, tx.seated, tx.limited = 0, 0, 0, nil
	c.add(tx, now)
}

// add has the exchange go on with what the session has added to tx: recipients, content
// or both. An account may not have places for all recipients: the others are answered
// here.
func (c *Conn) add(tx *Transaction, now time.Time) {
	x := &c.client.Exchange
	x.Content, x.Rcpts = tx.Content, tx.Rcpts
	x.Until = now.Add(c.relay.finalTimeout(tx, now))
	x.To = c.admit(tx)
	c.a.taken = tx.Place.Taken
	c.declineUnseated(tx)
	for i := x.To; i < len(tx.Rcpts); i++ {
		if tx.Rcpts[i].Reply.Positive() { // the client counts on it
			x.Decline(throttle.PhaseRcpt, *tx.limited)
		}
		tx.Rcpts[i].Reply, tx.Rcpts[i].Refusal = *tx.limited, smtpclient.Refusal{Phase: throttle.PhaseRcpt, Own: true, Class: tx.limitedBy}
	}
}

// admit gives the recipients of tx their places within the limits of the account and of its
// tenant. From the first one on that gets none of the account, none is sent; it returns the
// index of that one. One that gets none of the tenant is passed over.
func (c *Conn) admit(tx *Transaction) int {
	l, x := &tx.Account.Limits, &c.client.Exchange
	for tx.limited == nil && tx.admitted < len(tx.Rcpts) {
		switch {
		case !x.Sends(tx.admitted): // it was refused before
			tx.admitted++
			continue
		case l.MaxRecipients > 0 && tx.admitted >= l.MaxRecipients:
			tx.limited, tx.limitedBy = &codec.ReplyTooManyRcpts, "recipients"
			continue
		case !c.seat(tx):
			tx.admitted++
			continue
		case tx.placed < tx.Place.Taken:
		case tx.Place.Meter == nil || tx.Place.Meter.TakeRecipient(l):
			tx.Place.Taken++
		default:
			r, class := c.relay.noPlace(tx, l, time.Now())
			tx.limited, tx.limitedBy = &r, class
			continue
		}
		tx.placed++
		tx.admitted++
	}
	return tx.admitted
}

// noPlace answers a recipient that gets no place within the limits of the account.
func (r *Relay) noPlace(tx *Transaction, l *account.Limits, now time.Time) (reply codec.Reply, class string) {
	e := &failure.LimitError{Kind: limit.RecipientsPerDay, Max: l.RecipientsPerDay, After: now.Truncate(time.Hour).Add(time.Hour).Sub(now)}
	if m := tx.Place.Meter; !m.Full(l) {
		until, none := m.Lease().WaitRecipient()
		if !none {
			return noPermit(m.Lease())
		}
		e.After = until.Sub(now)
	}
	r.Metrics.Limited(tx.Account.Provider, e.Kind)
	return e.Reply(), e.Kind.Label()
}

// noPermit answers a recipient for which the store of the shared limits has given no permit
// yet. Another transaction waits until it has.
func noPermit(l *lease.Lease) (reply codec.Reply, class string) {
	if err := l.Err(); err != nil {
		return failure.ClientReply(err), failure.ClassOf(err)
	}
	return replyLaterRcpt, "share_wait"
}

// pretend is Begin for Config.DryRun: nothing is sent.
func (c *Conn) pretend() {
	x := &c.client.Exchange
	if reply := c.client.CannotCarry(); !reply.IsZero() {
		x.Decline(throttle.PhaseMail, reply)
		c.Ended()
		return
	}
	if x.Content != nil {
		x.Reply, x.Own = replyDryRun, true
		c.Ended()
		return
	}
	tx := c.tx
	for i := range tx.Rcpts {
		if r := &tx.Rcpts[i].Reply; r.IsZero() {
			*r = replyDryRunRcpt
		}
	}
	c.letGo(time.Now(), false)
	c.answered(tx)
}

// finalTimeout is how long the provider may take for the final reply: never longer than
// the client waits.
func (r *Relay) finalTimeout(tx *Transaction, now time.Time) time.Duration {
	return max(time.Second, min(r.cfg.FinalTimeout, tx.deadline.Sub(now)*7/8))
}
