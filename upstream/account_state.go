package upstream

import (
	"errors"
	"math"
	"slices"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/census"
	"xoauth2-proxy/upstream/internal/due"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/throttle"
)

type connState = census.State

const (
	connGone      = census.Gone
	connDialing   = census.Dialing
	connBusy      = census.Busy
	connParked    = census.Parked
	connClosing   = census.Closing
	numConnStates = census.NumStates
)

// backoff is the back-off of an account; its cause is the last failure.
type backoff = throttle.Backoff[*Error]

// accountState is what a shard knows of one account. Everything is keyed by
// the account's id and mailbox, so it outlives a reload of the configuration.
type accountState struct {
	*mailbox
	due.Item // in shard.due, which has every account that the shard knows
	id       string
	key      stateKey
	// account is the one of the last transaction; connections of another
	// identity are retired, see accountState.adopt.
	account  *account.Account
	provider *census.Counts // of the provider of account, in the shard
	parked   carry.List
	inUse    carry.List // busy or closing
	count    [numConnStates]int
	// waiting want any connection; fresh were failed by one and want a new one.
	waiting, fresh carry.Queue
	backoff        backoff
	throttle       *throttle.State // nil: none
	blocked        bool            // is in shard.blocked
	inLine         bool            // is in a loginLine
	seatless       bool            // is in shard.seatless
	gone           bool            // the account was removed, or has another mailbox: nothing is parked any more
	left           bool            // it has another mailbox, which has its counts
	warming        warming         // what Prewarm waits to open

	looked time.Time // when the timer looked at it last
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
	return min(st.ownSpare(now), st.lease.Connections()-st.mailbox.connections)
}

// ownSpare is spare without regard to other processes.
func (st *accountState) ownSpare(now time.Time) int {
	n := math.MaxInt32
	if most := st.account.Limits.MaxConnections; most > 0 {
		n = most - st.mailbox.connections
	}
	if most := st.throttle.Limit(now); most > 0 {
		n = min(n, most-st.open())
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
	if dialing >= min(st.waiting.Len(), st.startable())+st.fresh.Len() || !st.room(now) {
		return false
	}
	return st.backoff.Allows(now, dialing) && st.mayLogin(now)
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
func (st *accountState) attempts() int { return max(0, st.count[connDialing]-st.fresh.Len()) }

// covered is how many of the waiting transactions do not wait for others to end
// but for such an attempt, or for its turn, which comes.
func (st *accountState) covered(now time.Time) int {
	n := st.count[connDialing] - st.fresh.Len()
	if st.inLine {
		n += max(0, st.spare(now))
	}
	return max(0, n)
}

// outlasts reports whether a message waits for the end of the pause: one that is shorter than
// the acquire timeout, after an attempt that no reply of the provider has ended. While the
// breaker of the endpoint is open there is no waiting.
func (st *accountState) outlasts(now time.Time) bool {
	cause := st.backoff.Cause()
	return cause.Phase >= throttle.PhaseConnect && cause.Reply.IsZero() && !errors.Is(cause, failure.ErrEndpointDown) &&
		st.backoff.Until().Sub(now) < st.acquireTimeout()
}

// linePatience is how long a transaction waits for the turn of an attempt, if the
// acquire timeout is not longer. A client that is kept waiting for minutes gives up
// and sends again what is delivered all the same.
const linePatience = time.Minute

func (st *accountState) linePatience() time.Duration { return max(linePatience, st.acquireTimeout()) }

// firstUncovered returns the first transaction that waits for others to end.
func (st *accountState) firstUncovered(now time.Time) *Transaction {
	return st.waiting.At(st.covered(now))
}

// startable is how many of the waiting transactions the limits on messages let
// go. Those that are tried again, at the head, have their place already.
func (st *accountState) startable() int { return st.startableOf((*limit.Meter).Room) }

// startableOf is startable where room says how many places there are.
func (st *accountState) startableOf(room func(*limit.Meter, *account.Limits) int) int {
	if st.meter == nil {
		return st.waiting.Len()
	}
	n := max(0, room(st.meter, &st.account.Limits))
	if tx := st.waiting.Head(); tx != nil && tx.Place.Meter != nil {
		n++
	}
	return n
}

// mayLogin reports whether the limit on logins allows one more.
func (st *accountState) mayLogin(now time.Time) bool {
	return st.logins.Allows(st.account.Limits.LoginsPerMinute, st.mailbox.count[connDialing], now)
}

// loginWait returns when it does; ok is false if it is not known to be in the way.
func (st *accountState) loginWait(now time.Time) (t time.Time, ok bool) {
	return st.logins.Wait(st.account.Limits.LoginsPerMinute, st.mailbox.count[connDialing], now)
}

// countLogins counts the n logins of an attempt to connect that has ended.
func (st *accountState) countLogins(n int, now time.Time) {
	limited := slices.ContainsFunc(st.members, func(m *accountState) bool { return m.account.Limits.LoginsPerMinute > 0 })
	st.logins.Ended(n, limited || st.account.Limits.LoginsPerMinute > 0, now)
}

// unblocked is when a limit lets a waiting transaction go, as far as that is
// known; zero: no limit is in its way.
func (st *accountState) unblocked(now time.Time) (t time.Time) {
	switch {
	case st.meter != nil && st.startable() <= 0 && st.fresh.Len() == 0:
		_, t, _ = st.meter.Wait(&st.account.Limits, 1)
	case !st.mayLogin(now):
		t, _ = st.loginWait(now)
	case st.throttle.Limit(now) > 0:
		t = now.Add(st.throttle.Recovery())
	}
	return t
}

// excess is how many connections there are above what a throttle, or other processes, allow.
func (st *accountState) excess(now time.Time) int {
	return max(st.throttle.Excess(now, st.open()-st.count[connClosing]), st.mailbox.over())
}

// lacks is how many more connections st would open if no other process had any.
func (st *accountState) lacks(now time.Time) int {
	if st.throttle.Suspended(now) != nil || !st.backoff.Allows(now, st.count[connDialing]) || !st.logins.Own(st.account.Limits.LoginsPerMinute, st.mailbox.count[connDialing], now) {
		return 0
	}
	n := max(0, min(st.waiting.Len(), st.startableOf((*limit.Meter).Own))-st.count[connParked]) + st.fresh.Len() - st.count[connDialing]
	return max(0, min(n, st.ownSpare(now)))
}

// warming is a connection that warm is to open when other processes leave room for it.
type warming struct {
	n  int // 0: none
	on *loop.Loop
}
