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

// starves reports whether st waits for a connection, has none, and cannot open one because
// of the other members, of which none is being closed.
func (st *accountState) starves() bool {
	return st.waiting.Len()+st.fresh.Len() > 0 && st.open() == 0 && st.full() &&
		!slices.ContainsFunc(st.members, func(m *accountState) bool { return m.count[connClosing] > 0 })
}

// yields reports whether a connection of st that has become free is to be closed because
// another member starves whose message has waited for longer than tx, the next one of st;
// nil: there is none.
func (st *accountState) yields(tx *Transaction) bool {
	if len(st.members) < 2 {
		return false
	}
	return slices.ContainsFunc(st.members, func(m *accountState) bool {
		if m == st || !m.starves() {
			return false
		}
		head := m.waiting.Head()
		return tx == nil || head != nil && head.Place.Submitted.Before(tx.Place.Submitted)
	})
}
