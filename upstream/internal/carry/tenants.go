package carry

import (
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// A recipient outside the tenant of its account takes a place of the tenant when a
// connection has the transaction, and keeps it until the end of the transaction, wherever
// that waits meanwhile.

// enter finds the tenant of a new transaction. A message that surely gets no place there
// needs no connection: it is refused by the error.
func (r *Relay) enter(tx *Transaction) error {
	if r.Tenants == nil {
		return nil
	}
	t := r.Tenants.Of(tx.Account)
	if tx.tenant = t; t == nil || tx.Content == nil && !tx.FirstAnswered {
		return nil
	}
	for i := range tx.Rcpts {
		if !t.External(tx.Rcpts[i].Args.Path) {
			return nil
		}
	}
	if u := t.Use(); !u.NextPlace.IsZero() {
		return r.tenantFull(tx)
	}
	return nil
}

// tenantFull counts a refusal for the tenant of tx, and makes its error.
func (r *Relay) tenantFull(tx *Transaction) *failure.LimitError {
	r.Metrics.Limited(tx.Account.Provider, limit.TenantRecipientsPerDay)
	u := tx.tenant.Use()
	return &failure.LimitError{Kind: limit.TenantRecipientsPerDay, Max: u.Max, Tenant: u.Name, After: time.Until(u.NextPlace)}
}

// noSeat answers a recipient that gets no place in the tenant of tx.
func (r *Relay) noSeat(tx *Transaction) (reply codec.Reply, class string) {
	if u := tx.tenant.Use(); u.NextPlace.IsZero() && tx.tenant.Lease() != nil {
		return noPermit(tx.tenant.Lease())
	}
	return r.tenantFull(tx).Reply(), limit.TenantRecipientsPerDay.Label()
}

// Seats reports whether the recipients of tx have what they need of its tenant, or surely get
// none: then they are refused when a connection has tx. If the store of the shared limits has
// not answered, the pool is told when it has; see tenant.Set.Share.
func (tx *Transaction) Seats() bool {
	t := tx.tenant
	if t == nil || t.Lease() == nil {
		return true
	}
	n := -tx.external.Taken()
	for i := range tx.Rcpts {
		if t.External(tx.Rcpts[i].Args.Path) {
			n++
		}
	}
	return tx.external.Await(t, n)
}

// seat gives the recipient that is to be admitted its place in the tenant, if it needs one.
// Without a place it is refused here; false.
func (c *Conn) seat(tx *Transaction) bool {
	rcpt := &tx.Rcpts[tx.admitted]
	switch {
	case tx.tenant == nil || !tx.tenant.External(rcpt.Args.Path):
		return true
	case tx.seated < tx.external.Taken():
	case !tx.external.Take(tx.tenant):
		refusal, class := c.relay.noSeat(tx)
		if rcpt.Reply.Positive() { // the client counts on it
			c.client.Exchange.Decline(throttle.PhaseRcpt, refusal)
		}
		rcpt.Reply = refusal
		rcpt.Refusal = smtpclient.Refusal{Phase: throttle.PhaseRcpt, Own: true, Class: class}
		return false
	}
	tx.seated++
	return true
}

// declineUnseated answers a transaction that cannot begin: its only recipient, or the first
// one that was promised, or each has no place.
func (c *Conn) declineUnseated(tx *Transaction) {
	x := &c.client.Exchange
	if tx.told || !tx.Rcpts[0].Own {
		return
	}
	sends := false
	for i := range x.To {
		sends = sends || x.Sends(i)
	}
	if tx.FirstAnswered || !sends {
		x.Decline(throttle.PhaseRcpt, tx.Rcpts[0].Reply)
	}
}

// leave ends the stay of tx in its tenant. Recipients count if the provider accepted the
// message for them, or may have.
func (r *Relay) leave(tx *Transaction, res *Result) {
	counted := 0
	switch {
	case tx.tenant == nil || tx.Content == nil || r.cfg.DryRun:
	case res.Err == nil && len(tx.Rcpts) == 1:
		counted = 1
	case res.Err == nil:
		for i := range tx.Rcpts {
			if rcpt := &tx.Rcpts[i]; rcpt.Reply.Positive() && tx.tenant.External(rcpt.Args.Path) {
				counted++
			}
		}
	case res.Err.MaybeAccepted():
		counted = tx.external.Taken()
	}
	tx.external.Leave(counted)
}
