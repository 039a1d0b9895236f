package upstream

import (
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/carry"
)

// adopt makes a the account of st. If it is reached or logged in to in another
// way than before, no connection of before is used any more, and what the
// provider refused then is forgotten.
func (s *shard) adopt(st *accountState, a *account.Account) {
	same := st.account.ConnectionFingerprint() == a.ConnectionFingerprint()
	before := st.provider
	st.account, st.provider = a, s.census.Of(a.Provider)
	for state, n := range st.count {
		before[state].Add(-int64(n))
		st.provider[state].Add(int64(n))
	}
	s.adoptLimits(st)
	if same {
		return
	}
	st.backoff = backoff{}
	s.absolve(st)
	s.retireParked(st)
}

// move changes what a connection of st is doing.
func (s *shard) move(st *accountState, from, to connState) {
	if from != connGone {
		st.count[from]--
		st.mailbox.count[from]--
		st.mailbox.connections--
		st.provider[from].Add(-1)
	}
	if to != connGone {
		st.count[to]++
		st.mailbox.count[to]++
		st.mailbox.connections++
		st.provider[to].Add(1)
	}
	s.note(st.mailbox)
}

// use takes c out of the parked connections.
func (s *shard) use(st *accountState, c *carry.Conn, state connState) {
	c.Unlink()
	st.inUse.Push(c)
	s.move(st, connParked, state)
}

// gone notes that a connection in that state is closed.
func (s *shard) gone(st *accountState, c *carry.Conn, state connState) {
	c.Unlink()
	s.move(st, state, connGone)
}

// retire has a parked connection closed.
func (s *shard) retire(st *accountState, c *carry.Conn) {
	s.use(st, c, connClosing)
	s.quit(c)
}

// retireParked closes the parked connections of st.
func (s *shard) retireParked(st *accountState) {
	for st.parked.Newest() != nil {
		s.retire(st, st.parked.Oldest())
	}
}

// quit has c closed by its loop.
func (s *shard) quit(c *carry.Conn) {
	c.Quitting = true
	s.relay.give(c, nil, s.on)
}

// near is how many of the parked connections are looked at for one that is
// served by the loop that the transaction comes from.
const near = 4

// takeParked returns a connection that was used last, or nearly so, and suits
// tx, now busy.
func (s *shard) takeParked(st *accountState, tx *Transaction, now time.Time) *carry.Conn {
	for {
		c := st.parked.Newest()
		if c == nil {
			return nil
		}
		for i, other := 0, c; i < near && other != nil; i, other = i+1, other.Older() {
			if other.Loop == tx.Loop {
				c = other
				break
			}
		}
		if c.Suits(tx.Account) && !c.Worn(st.account, now) {
			s.use(st, c, connBusy)
			return c
		}
		s.retire(st, c)
	}
}

// expireFresh fails the transactions that waited for too long for room for a
// connection of their own. Those that an attempt is under way for wait for its
// timeouts.
func (s *shard) expireFresh(st *accountState, now time.Time) {
	attempts := st.count[connDialing]
	st.fresh.Keep(func(i int, tx *Transaction) bool {
		return i < attempts || now.Sub(tx.Place.Submitted) < st.linePatience() || s.expired(st, tx, now)
	})
}

// expireWaiting fails the transactions that waited longer than the acquire
// timeout for a connection to become free.
func (s *shard) expireWaiting(st *accountState, now time.Time) {
	attempts, covered := st.attempts(), st.covered(now)
	st.waiting.Keep(func(i int, tx *Transaction) bool {
		waited := now.Sub(tx.Place.Submitted)
		return i < attempts || i < covered && waited < st.linePatience() || waited < st.acquireTimeout() || s.expired(st, tx, now)
	})
}

// expired fails a transaction that waited for too long; it is not kept.
func (s *shard) expired(st *accountState, tx *Transaction, now time.Time) (kept bool) {
	s.fail(st, tx, s.tooLong(st, now), now)
	return false
}

// shed closes parked connections above the slots of the mailbox, the oldest first.
// Those that carry a message are closed after it, see accountState.excess.
func (s *shard) shed(m *mailbox) {
	for m.over() > 0 {
		var of *accountState
		for _, st := range m.members {
			if c := st.parked.Oldest(); c != nil && (of == nil || c.LastUsed.Before(of.parked.Oldest().LastUsed)) {
				of = st
			}
		}
		if of == nil {
			return
		}
		s.retire(of, of.parked.Oldest())
	}
}
