package upstream

import (
	"container/heap"
	"slices"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/due"
	"xoauth2-proxy/upstream/internal/throttle"
)

const (
	// minTick keeps the timer from firing without end for moments that have
	// nearly come.
	minTick = 2 * time.Millisecond
	// lookAgain is the least time between two looks of the timer at an account.
	lookAgain = 100 * time.Millisecond
	// recheck is when an account is looked at again at the latest, whatever it waits
	// for: it may be one of which nothing is left but counts and a throttle.
	recheck = 10 * time.Minute
)

// state returns the state of an account, which it makes if there is none.
func (s *shard) state(a *account.Account) *accountState {
	key := keyOf(a)
	st := s.accounts[key]
	if st == nil {
		st = &accountState{id: a.ID, key: key, account: a, provider: s.census.Of(a.Provider), Item: due.Item{At: time.Now().Add(recheck)}}
		s.accounts[key] = st
		s.join(st)
		heap.Push(&s.due, st)
		s.arm(st.At)
		s.adoptLimits(st)
	} else if st.account != a {
		s.adopt(st, a)
	}
	return st
}

// join makes st a member of its mailbox.
func (s *shard) join(st *accountState) {
	m := s.mailboxes[st.key.mailbox]
	if m == nil {
		m = &mailbox{key: st.key.mailbox}
		s.mailboxes[m.key] = m
		s.hire(m)
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
		m.dismiss()
		return
	}
	m.bound()
}

// arm sets the timer to fire at t or before.
func (s *shard) arm(t time.Time) {
	if s.closing || !s.armed.IsZero() && !t.Before(s.armed) {
		return
	}
	s.armed = t
	s.timer.Reset(max(time.Until(t), minTick))
}

// touch makes sure that the timer looks at st at t or before. If it has looked at
// st since t, what was due then has been done, and it looks again only a little
// later: no error in a deadline can keep the shard busy.
func (s *shard) touch(st *accountState, t time.Time) {
	if !t.After(st.looked) {
		t = st.looked.Add(lookAgain)
	}
	if t.Before(st.At) {
		st.At = t
		heap.Fix(&s.due, st.Index)
		s.arm(t)
	}
}

// onTick looks at all accounts whose deadline has come, at each of them once, and at
// the turns of logins.
func (s *shard) onTick(now time.Time) {
	s.armed = time.Time{}
	if s.closing {
		return
	}
	defer s.rearm() // after a panic too
	for len(s.due) > 0 && !s.due[0].At.After(now) {
		st := s.due[0]
		st.looked, st.At = now, now.Add(recheck)
		heap.Fix(&s.due, st.Index)
		s.expire(st, now)
	}
	s.callUp(now)
}

// rearm sets the timer for what comes next.
func (s *shard) rearm() {
	if len(s.due) > 0 {
		s.arm(s.due[0].At)
	}
}

// expire does what is due for st: it retires connections that were idle for
// too long, fails transactions that waited for too long, forgets an account of
// which nothing is left.
func (s *shard) expire(st *accountState, now time.Time) {
	s.note(st.mailbox)
	idle := st.account.Limits.IdleTimeout
	for c := st.parked.Oldest(); c != nil && idle > 0 && now.Sub(c.LastUsed) >= idle; c = st.parked.Oldest() {
		s.retire(st, c)
	}
	s.expireFresh(st, now)
	s.expireWaiting(st, now)
	s.forgive(st, now)
	s.dispatch(st, now)
	if st.open() == 0 && st.waiting.Len()+st.fresh.Len() == 0 && !st.blocked && !st.inLine && st.backoff.Forgotten(now) && st.unremarkable(now) {
		s.absolve(st)
		delete(s.accounts, st.key)
		s.leave(st)
		heap.Remove(&s.due, st.Index)
		return
	}
	s.touch(st, st.nextDue(now))
}

// unused has the timer look at an account that has no connection and no message
// any more: perhaps it can be forgotten.
func (s *shard) unused(st *accountState, now time.Time) {
	if st.open()+st.waiting.Len()+st.fresh.Len() == 0 {
		s.touch(st, now)
	}
}

// unremarkable reports whether nothing is counted or in force that must not be
// forgotten.
func (st *accountState) unremarkable(now time.Time) bool {
	return (len(st.members) > 1 || st.mailbox.idle(now)) && (st.gone || st.throttle == nil)
}

// nextDue is when expire has something to do again. It is after now if expire has
// just done what was due.
func (st *accountState) nextDue(now time.Time) time.Time {
	next := now.Add(recheck)
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if c := st.parked.Oldest(); c != nil && st.account.Limits.IdleTimeout > 0 {
		sooner(c.LastUsed.Add(st.account.Limits.IdleTimeout))
	}
	if c := st.parked.Newest(); c != nil && st.lease != nil && now.Sub(c.LastUsed) < warmFor {
		sooner(c.LastUsed.Add(warmFor))
	}
	if tx := st.fresh.At(st.count[connDialing]); tx != nil {
		sooner(tx.Place.Submitted.Add(st.linePatience()))
	}
	if tx := st.firstUncovered(now); tx != nil {
		sooner(tx.Place.Submitted.Add(st.acquireTimeout()))
	}
	if tx := st.waiting.At(st.attempts()); tx != nil && st.inLine {
		sooner(tx.Place.Submitted.Add(st.linePatience()))
	}
	waits := st.waiting.Len()+st.fresh.Len() > 0
	if t := st.backoff.Until(); waits && st.backoff.Pausing(now) {
		sooner(t)
	} else if !st.backoff.Forgotten(now) {
		sooner(t.Add(throttle.BackoffMemory))
	}
	if waits {
		if t := st.unblocked(now); !t.IsZero() {
			sooner(t)
		}
	}
	return next
}
