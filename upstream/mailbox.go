package upstream

import (
	"slices"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/upstream/internal/lease"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/throttle"
)

// mailbox is what the accounts share that log in as one identity at one endpoint: what the
// provider counts. Each account compares it with its own limits. Connections and their
// queue are each account's own.
type mailbox struct {
	key         string
	members     []*accountState
	connections int                // of all members, in any state
	count       [numConnStates]int // the same, by state
	meter       *limit.Meter       // nil: no member has limits on messages
	logins      limit.Logins

	lease   *lease.Lease // nil: no other process uses the mailbox
	changed atomic.Bool  // the lease has, and the shard was told
	expects time.Time    // a client has logged in: until then a message is expected
	stale   bool         // is in shard.stale

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
	return m.logins.Sum(now) == 0 && !m.unsaved
}

// most is how many connections of the mailbox st may see.
func (st *accountState) most() int {
	if most := st.account.Limits.MaxConnections; most > 0 {
		return min(most, st.lease.Connections())
	}
	return st.lease.Connections()
}

// full reports whether the mailbox has as many connections as st may have.
func (st *accountState) full() bool { return st.mailbox.connections >= st.most() }

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
		reopens := m.connections > m.most() && st.spare(now) >= 0 // by st
		if m == st || !m.starves(now) || reopens {
			return false
		}
		since := m.next().Place.Submitted
		return tx == nil || since.Before(tx.Place.Submitted) && now.Sub(since) >= min(yieldAfter, m.acquireTimeout()/4)
	})
}

// bound tells the lease the limits of the mailbox, the largest of its members', each of which
// keeps its own besides.
func (m *mailbox) bound() {
	limit.Bound(m.lease, func(yield func(*account.Limits) bool) {
		for _, st := range m.members {
			if !yield(&st.account.Limits) {
				return
			}
		}
	})
}

// outage is why nothing new may begin with the mailbox, because its store is silent; nil:
// it may.
func (m *mailbox) outage() *Error {
	if err := m.lease.Err(); err != nil {
		return &Error{Phase: throttle.PhaseQueue, Err: err}
	}
	return nil
}

// over is how many connections the mailbox has above its slots, without those that are
// being closed.
func (m *mailbox) over() int {
	if m.lease == nil {
		return 0
	}
	return m.connections - m.count[connClosing] - m.lease.Connections()
}

// cut ends messages after the end of the lease, on all connections but as many as the store
// knows to carry one: on the newest ones, unless the end of the content has left.
func (m *mailbox) cut() {
	n := m.count[connBusy] - m.lease.Messages()
	for _, st := range m.members {
		for c := st.inUse.Newest(); c != nil && n > 0; c = c.Older() {
			if !c.Quitting {
				c.BreakUnlessLeft()
				n--
			}
		}
	}
}

// warmFor is how long a parked connection counts as one that the account could use now: other
// processes that want connections are first left those that have rested for longer.
const warmFor = share.RenewEvery

func (m *mailbox) report(now time.Time) {
	messages, recipients, more, warm := 0, 0, 0, 0
	for _, st := range m.members {
		messages += st.waiting.Len()
		if tx := st.waiting.Head(); tx != nil && tx.Place.Meter != nil { // it is tried again
			messages--
		} else if tx != nil {
			recipients = max(recipients, tx.Places())
		}
		more += st.lacks(now)
		for c := st.parked.Newest(); c != nil && now.Sub(c.LastUsed) < warmFor; c = c.Older() {
			warm++
		}
	}
	if now.Before(m.expects) {
		messages, recipients, more = max(1, messages), max(1, recipients), max(1, more)
	}
	m.lease.Want(messages, recipients, more)
	m.lease.Report(m.connections, m.count[connBusy], m.count[connBusy]+m.count[connDialing]+warm+more)
}

// dismiss gives back what the mailbox may use, of which nothing is in use.
func (m *mailbox) dismiss() {
	m.lease.Leave()
	m.lease = nil
}
