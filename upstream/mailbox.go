package upstream

import (
	"slices"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/limit"
)

// mailbox is what the accounts share that log in as one identity at one endpoint: what the
// provider counts. Each account compares it with its own limits. Connections and their
// queue are each account's own.
type mailbox struct {
	key         string
	members     []*accountState
	connections int           // of all members, in any state
	dialing     int           // those of them that are being opened
	meter       *limit.Meter  // nil: no member has limits on messages
	logins      *limit.Window // nil: none counted yet, or no limit

	unsaved bool // is in shard.unsaved
	moved   bool // counts were taken away: all hours are to be saved
}

// stateKey names the state of an account: one that has changed its identity or endpoint
// gets another state, while the one before serves what waits for it.
type stateKey struct{ id, mailbox string }

func keyOf(a *account.Account) stateKey { return stateKey{a.ID, a.MailboxKey()} }

// idle reports whether nothing is counted.
func (m *mailbox) idle(now time.Time) bool {
	if m.meter != nil {
		m.meter.Advance(now)
		if !m.meter.Idle() {
			return false
		}
	}
	if m.logins != nil {
		m.logins.Advance(now)
		if m.logins.Sum() > 0 {
			return false
		}
	}
	return !m.unsaved
}

// full reports whether the mailbox has as many connections as st may have.
func (st *accountState) full() bool {
	most := st.account.Limits.MaxConnections
	return most > 0 && st.mailbox.connections >= most
}

// wanting reports whether st waits for a connection, has none, and would open one now if
// there were room.
func (st *accountState) wanting(now time.Time) bool {
	return st.open() == 0 && min(st.waiting.Len(), st.startable())+st.fresh.Len() > 0 &&
		st.backoff.Allows(now, 0) && st.mayLogin(now)
}

// next is the message of st that the next new connection is for.
func (st *accountState) next() *Transaction {
	if tx := st.fresh.Head(); tx != nil {
		return tx
	}
	return st.waiting.Head()
}

// starves reports whether st is wanting and cannot open a connection because of the other
// members, of which none is being closed.
func (st *accountState) starves(now time.Time) bool {
	return st.full() && st.wanting(now) &&
		!slices.ContainsFunc(st.members, func(m *accountState) bool { return m.count[connClosing] > 0 })
}

// yieldAfter is how long a member waits before another one that has messages itself closes a
// connection for it: a login for each message would be no service to either.
const yieldAfter = time.Second

// yields reports whether a connection of st that has become free is to be closed because
// another member starves whose message has waited for longer than tx, the next one of st;
// nil: there is none.
func (st *accountState) yields(tx *Transaction, now time.Time) bool {
	if len(st.members) < 2 {
		return false
	}
	return slices.ContainsFunc(st.members, func(m *accountState) bool {
		reopens := m.connections > m.account.Limits.MaxConnections && st.spare(now) >= 0 // by st
		if m == st || !m.starves(now) || reopens {
			return false
		}
		since := m.next().Place.Submitted
		return tx == nil || since.Before(tx.Place.Submitted) && now.Sub(since) >= min(yieldAfter, m.acquireTimeout()/4)
	})
}
