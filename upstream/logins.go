package upstream

import (
	"slices"
	"time"

	"xoauth2-proxy/internal/account"
)

const (
	// firstAtOnce is how many logins of a shard are under way at one endpoint,
	// for accounts without a connection, before the next one waits for its turn.
	// moreAtOnce is the same for accounts that have one, or soon will have.
	firstAtOnce = 16
	moreAtOnce  = 2
	// loginTurn is how long a login keeps others waiting. It is enough where it
	// is this machine that takes the time; a provider that is far away, slow or
	// silent has more logins under way, and holds others up for a short time only.
	loginTurn = 40 * time.Millisecond
)

// A loginLine spreads the logins of a shard at one endpoint. A login costs as
// much CPU time as some ten messages, and many times the memory: if hundreds
// begin together, all of them end late, and what they took stays with the
// process. One after the other, the first connections soon carry messages that
// would have wanted a login of their own. So what waits here is not a login but
// an account: when its turn comes it may have no need of one any more.
type loginLine struct {
	running []*dialing      // have their turn, in the order of beginning
	waiting []*accountState // in order; an account is in one line at most
}

// lineKey names a line.
type lineKey struct {
	endpoint account.Endpoint
	first    bool // connections of accounts that have none
}

// full reports whether no further login has a turn in l, the line of that name.
func (l *loginLine) full(k lineKey) bool {
	if k.first {
		return len(l.running) >= firstAtOnce
	}
	return len(l.running) >= moreAtOnce
}

// endTurns ends those that have lasted for long enough.
func (s *shard) endTurns(l *loginLine, now time.Time) {
	n := 0
	for n < len(l.running) && now.Sub(l.running[n].began) >= s.relay.loginTurn {
		l.running[n].turnIn = nil
		n++
	}
	l.running = slices.Delete(l.running, 0, n)
}

// line returns the line of that name, which it makes if there is none.
func (s *shard) line(k lineKey) *loginLine {
	l := s.lines[k]
	if l == nil {
		l = new(loginLine)
		s.lines[k] = l
	}
	return l
}

// mayBegin reports whether the login of d may begin. If not, its account is
// dispatched again when its turn has come.
func (s *shard) mayBegin(d *dialing, now time.Time) bool {
	k := lineKey{d.account.SMTP, !d.st.usable()}
	l := s.line(k)
	if len(l.waiting) == 0 {
		s.endTurns(l, now)
	}
	if !l.full(k) {
		return true
	}
	if !d.st.inLine {
		d.st.inLine = true
		l.waiting = append(l.waiting, d.st)
	}
	s.arm(l.running[0].began.Add(s.relay.loginTurn))
	return false
}

// login has a connection opened, in the turn that mayBegin has found free; false as open.
func (s *shard) login(d *dialing, now time.Time) bool {
	l := s.line(lineKey{d.account.SMTP, !d.st.usable()})
	if !s.open(d) {
		return false
	}
	d.turnIn, d.began = l, now
	l.running = append(l.running, d)
	return true
}

// open has a connection opened, by a goroutine of its own; false if other processes have
// taken what it needs since that was looked at.
func (s *shard) open(d *dialing) bool {
	s.move(d.st, connGone, connDialing)
	if !d.st.lease.Open(d.st.mailbox.connections) {
		s.move(d.st, connDialing, connGone)
		return false
	}
	d.st.expects = time.Time{}
	s.relay.dials.Go(func() { s.relay.dial(d) })
	return true
}

// endTurn ends the turn of d, if it still has one.
func (s *shard) endTurn(d *dialing) {
	if l := d.turnIn; l != nil {
		i := slices.Index(l.running, d)
		l.running = slices.Delete(l.running, i, i+1)
		d.turnIn = nil
	}
}

// callUp gives the turns that are free to those who wait.
func (s *shard) callUp(now time.Time) {
	for k, l := range s.lines {
		s.endTurns(l, now)
		for len(l.waiting) > 0 && !l.full(k) {
			st := l.waiting[0]
			l.waiting = slices.Delete(l.waiting, 0, 1)
			st.inLine = false
			s.dispatch(st, now)
			// What the line covered may wait for a slot now.
			s.plan(st, now)
			s.unused(st, now)
		}
		switch {
		case len(l.waiting) > 0:
			s.arm(l.running[0].began.Add(s.relay.loginTurn))
		case len(l.running) == 0:
			delete(s.lines, k)
		}
	}
}
