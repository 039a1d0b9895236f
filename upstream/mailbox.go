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

// join makes st a member of its mailbox.
func (s *shard) join(st *accountState) {
	m := s.mailboxes[st.key.mailbox]
	if m == nil {
		m = &mailbox{key: st.key.mailbox}
		s.mailboxes[m.key] = m
	}
	st.mailbox = m
	m.members = append(m.members, st)
}

// leave ends the membership of an account that is forgotten.
func (s *shard) leave(st *accountState) {
	m := st.mailbox
	i := slices.Index(m.members, st)
	if m.members = slices.Delete(m.members, i, i+1); len(m.members) == 0 {
		delete(s.mailboxes, m.key)
	}
}

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

// share has the other members of the mailbox go on, after a connection of st or a place within
// the limits has become free.
func (s *shard) share(st *accountState, now time.Time) {
	if len(st.members) < 2 {
		return
	}
	for _, m := range st.members {
		if m != st && m.waiting.Len()+m.fresh.Len() > 0 {
			s.dispatch(m, now)
		}
	}
}

// makeRoom closes a parked connection of another member if st starves.
func (s *shard) makeRoom(st *accountState) {
	if len(st.members) < 2 || !st.starves() {
		return
	}
	for _, m := range st.members {
		if c := m.parked.Oldest(); c != nil {
			s.retire(m, c)
			return
		}
	}
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

// moveCounts has the mailbox that the account of st sends from now on count what this one
// has counted: with its limits, as if it had always been that one. If others send from this
// one, its counts stay as well.
func (s *shard) moveCounts(st *accountState, to *account.Account, now time.Time) {
	if st.left {
		return
	}
	st.left = true
	if st.meter == nil {
		return
	}
	counts := limit.NewMeter(now)
	counts.Merge(st.meter, now)
	if len(st.members) == 1 {
		st.meter.Clear()
		st.mailbox.moved = true
		s.save(st)
	}
	target := s.relay.shardOf(to)
	go target.do(func(now time.Time) {
		next := target.state(to)
		target.count(next)
		next.meter.Merge(counts, now)
		next.mailbox.moved = true
		target.save(next)
	})
}

// save has the counts of the mailbox of st saved.
func (s *shard) save(st *accountState) {
	if s.relay.cfg.Quota != nil && !st.mailbox.unsaved {
		st.mailbox.unsaved = true
		s.unsaved = append(s.unsaved, st.mailbox)
	}
}
