package limit

import (
	"time"

	"xoauth2-proxy/upstream/internal/lease"
)

// Logins counts the logins of one mailbox over the last minute. Each account compares them with
// its own limit, most; 0: it has none. One goroutine at a time may use it.
type Logins struct {
	window *Window      // nil: none was counted yet, or no account has a limit
	lease  *lease.Lease // nil: no other process logs in
}

// Share has a login need a permit of l, too.
func (l *Logins) Share(permits *lease.Lease) { l.lease = permits }

// Sum is the number that counts.
func (l *Logins) Sum(now time.Time) int {
	if l.window == nil {
		return 0
	}
	l.window.Advance(now)
	return l.window.Sum()
}

// Counted reports whether there may be more than none.
func (l *Logins) Counted() bool { return l.window != nil || l.lease != nil }

// Own reports whether a limit allows one more beside those under way, without regard to what
// other processes count.
func (l *Logins) Own(most, underWay int, now time.Time) bool {
	return most <= 0 || l.Sum(now)+underWay < most
}

// Allows reports whether a limit, and the permits, allow one more beside those under way.
func (l *Logins) Allows(most, underWay int, now time.Time) bool {
	return l.Own(most, underWay, now) && l.lease.Logins() > 0
}

// Wait returns when one more is allowed; ok is false if no limit is known to be in the way.
func (l *Logins) Wait(most, underWay int, now time.Time) (t time.Time, ok bool) {
	t, ok = l.lease.WaitLogin()
	if l.Own(most, underWay, now) {
		return t, ok
	}
	own := now.Add(time.Second)
	if l.Sum(now) > 0 {
		own = l.window.Dropped(1)
	}
	if own.After(t) {
		t = own
	}
	return t, true
}

// Ended counts the n logins of an attempt to connect that has ended; limited says whether any
// account has a limit.
func (l *Logins) Ended(n int, limited bool, now time.Time) {
	l.lease.SettleLogins(n)
	if n == 0 || !limited {
		return
	}
	if l.window == nil {
		l.window = NewWindow(time.Minute, 60)
	}
	l.window.Advance(now)
	l.window.Add(n)
}
