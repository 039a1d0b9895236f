package upstream

import (
	"math"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/throttle"
)

// connState is what a connection is doing; all but connGone count against the
// account's limit.
type connState uint8

const (
	connGone connState = iota
	connDialing
	connBusy
	connParked
	connClosing
	numConnStates
)

// backoff is the back-off of an account; its cause is the last failure.
type backoff = throttle.Backoff[*Error]

// accountState is what a shard knows of one account. Everything is keyed by
// the account's id, so it outlives a reload of the configuration.
type accountState struct {
	id string
	// account is the one of the last transaction; connections of another
	// identity are retired, see accountState.adopt.
	account *account.Account
	parked  connList
	inUse   connList // busy or closing
	count   [numConnStates]int
	// waiting want any connection; fresh were failed by one and want a new one.
	waiting, fresh txQueue
	backoff        backoff
	meter          *limit.Meter    // nil: no limits on messages
	logins         *limit.Window   // nil: none counted yet, or no limit
	throttle       *throttle.State // nil: none
	blocked        bool            // is in shard.blocked
	inLine         bool            // is in a loginLine
	gone           bool            // the account was removed: nothing is parked any more
	unsaved        bool            // is in shard.unsaved

	due      time.Time // when the timer looks at it
	dueIndex int       // in shard.due, which has every account that the shard knows
	looked   time.Time // when the timer looked at it last
}

// open is the number of connections that count against the limit.
func (st *accountState) open() int {
	return st.count[connDialing] + st.count[connBusy] + st.count[connParked] + st.count[connClosing]
}

// usable reports whether a connection may become free or ready.
func (st *accountState) usable() bool {
	return st.count[connDialing]+st.count[connBusy]+st.count[connParked] > 0
}

// spare is how many more connections the limits allow, if any.
func (st *accountState) spare(now time.Time) int {
	n, open := math.MaxInt32, st.open()
	for _, most := range [...]int{st.account.Limits.MaxConnections, st.throttle.Limit(now)} {
		if most > 0 {
			n = min(n, most-open)
		}
	}
	return n
}

// room reports whether the limits allow one more connection.
func (st *accountState) room(now time.Time) bool { return st.spare(now) > 0 }

// mayDial reports whether a connection is to be opened now: there are never
// more attempts than transactions that wait and may start, and after a failure
// only one.
func (st *accountState) mayDial(now time.Time) bool {
	dialing := st.count[connDialing]
	if dialing >= min(st.waiting.n, st.startable())+st.fresh.n || !st.room(now) {
		return false
	}
	return st.backoff.Allows(now, dialing) && st.mayLogin(now)
}

// adopt makes a the account of st. If it is reached or logged in to in another
// way than before, no connection of before is used any more, and what the
// provider refused then is forgotten.
func (s *shard) adopt(st *accountState, a *account.Account) {
	same := st.account.ConnectionFingerprint() == a.ConnectionFingerprint()
	st.account = a
	s.adoptLimits(st)
	if same {
		return
	}
	st.backoff = backoff{}
	s.absolve(st)
	for st.parked.newest != nil {
		s.retire(st, st.parked.oldest)
	}
}

// move changes what a connection of st is doing.
func (s *shard) move(st *accountState, from, to connState) {
	if from != connGone {
		st.count[from]--
		s.counts[from].Add(-1)
	}
	if to != connGone {
		st.count[to]++
		s.counts[to].Add(1)
	}
}

// use takes c out of the parked connections.
func (s *shard) use(st *accountState, c *conn, state connState) {
	c.unlink()
	st.inUse.push(c)
	s.move(st, connParked, state)
}

// gone notes that a connection in that state is closed.
func (s *shard) gone(st *accountState, c *conn, state connState) {
	c.unlink()
	s.move(st, state, connGone)
}

// retire has a parked connection closed.
func (s *shard) retire(st *accountState, c *conn) {
	s.use(st, c, connClosing)
	s.quit(c)
}

// quit has c closed by its loop.
func (s *shard) quit(c *conn) {
	c.order = orderQuit
	s.relay.give(c, s.on)
}

// near is how many of the parked connections are looked at for one that is
// served by the loop that the transaction comes from.
const near = 4

// takeParked returns a connection that was used last, or nearly so, and suits
// tx, now busy.
func (s *shard) takeParked(st *accountState, tx *Transaction, now time.Time) *conn {
	for {
		c := st.parked.newest
		if c == nil {
			return nil
		}
		for i, other := 0, c; i < near && other != nil; i, other = i+1, other.older {
			if other.loop == tx.Loop {
				c = other
				break
			}
		}
		if c.suits(tx.Account) && !c.worn(st.account, now) {
			s.use(st, c, connBusy)
			return c
		}
		s.retire(st, c)
	}
}

// defaultAcquireTimeout stands in for an account that sets none.
const defaultAcquireTimeout = 5 * time.Second

func (st *accountState) acquireTimeout() time.Duration {
	if d := st.account.Limits.AcquireTimeout; d > 0 {
		return d
	}
	return defaultAcquireTimeout
}

// attempts is how many of the waiting transactions wait for an attempt to connect,
// which has timeouts of its own.
func (st *accountState) attempts() int { return max(0, st.count[connDialing]-st.fresh.n) }

// covered is how many of the waiting transactions do not wait for others to end
// but for such an attempt, or for its turn, which comes.
func (st *accountState) covered(now time.Time) int {
	n := st.count[connDialing] - st.fresh.n
	if st.inLine {
		n += max(0, st.spare(now))
	}
	return max(0, n)
}

// linePatience is how long a transaction waits for the turn of an attempt, if the
// acquire timeout is not longer. A client that is kept waiting for minutes gives up
// and sends again what is delivered all the same.
const linePatience = time.Minute

func (st *accountState) linePatience() time.Duration { return max(linePatience, st.acquireTimeout()) }

// firstUncovered returns the first transaction that waits for others to end.
func (st *accountState) firstUncovered(now time.Time) *Transaction {
	tx := st.waiting.head
	for range st.covered(now) {
		if tx == nil {
			return nil
		}
		tx = tx.next
	}
	return tx
}

// expireFresh fails the transactions that waited for too long for room for a
// connection of their own. Those that an attempt is under way for wait for its
// timeouts.
func (s *shard) expireFresh(st *accountState, now time.Time) {
	attempts := st.count[connDialing]
	var keep txQueue
	for i := 0; st.fresh.n > 0; i++ {
		tx := st.fresh.pop()
		if i < attempts || now.Sub(tx.submitted) < st.linePatience() {
			keep.push(tx)
			continue
		}
		s.fail(st, tx, s.tooLong(st, now), now)
	}
	st.fresh = keep
}

// expireWaiting fails the transactions that waited longer than the acquire
// timeout for a connection to become free.
func (s *shard) expireWaiting(st *accountState, now time.Time) {
	attempts, covered := st.attempts(), st.covered(now)
	var keep txQueue
	for i := 0; st.waiting.n > 0; i++ {
		tx := st.waiting.pop()
		waited := now.Sub(tx.submitted)
		if i < attempts || i < covered && waited < st.linePatience() || waited < st.acquireTimeout() {
			keep.push(tx)
			continue
		}
		s.fail(st, tx, s.tooLong(st, now), now)
	}
	st.waiting = keep
}
