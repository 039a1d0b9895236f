package password

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Login is one attempt to log in. Its slices are borrowed for the call of Guard.Check.
type Login struct {
	// Source is the client's address; the zero Addr, for a unix socket, is not counted.
	Source netip.Addr
	// Name names the account in the counts, whether or not there is such an account.
	Name string
	// ID and Secret are what the password is checked against (Checker.Check).
	ID     string
	Secret Secret
	// Password is what the client sent; with Challenge, Response in its place
	// (Checker.CheckCRAMMD5).
	Password, Challenge, Response []byte
	// Wrong says that the login is wrong whatever the password: it is not looked at.
	Wrong bool
	// Unknown says that no account has the name: a right password is Refused too.
	Unknown bool
}

// Verdict is the end of a login.
type Verdict struct {
	Result Result
	// Delay is for how long the answer to a refused login is to be held back.
	Delay time.Duration
}

// Guard checks passwords, and slows down who guesses. It counts the failures of each
// source, of each account, and of each account from each source. A check under way counts
// as a failure until it has ended well: above the limit a login waits for the checks under
// way, or is Limited. All methods may be called by any number of goroutines, and do not
// block.
//
// A right login forgives the failures of its own account from its source, no others. After
// it, only failures of that account from that source keep the two apart: neither a guesser
// elsewhere nor wrong passwords of other accounts do. The same wrong password again tells
// a guesser nothing, so it counts for its account from its source only.
type Guard struct {
	checker  *Checker
	limit    int
	most     int // attempts that wait
	seed     maphash.Seed
	sources  *failures
	accounts *failures
	both     *failures

	mu      sync.Mutex // guards what follows
	pending map[key]int
	waiting map[key][]*attempt // by what they wait for
	waiters int
}

// attempt is a login with what it counts by.
type attempt struct {
	Login
	source, account, both key
	wrong                 uint64 // hash of the password
	done                  func(Verdict)
}

// NewGuard makes a Guard that checks with c. The configurations must be valid.
func NewGuard(c *Checker, cfg FailureConfig, now time.Time) *Guard {
	return &Guard{
		checker: c, limit: cfg.Limit, most: c.limit, seed: maphash.MakeSeed(),
		sources: newFailures(cfg, now), accounts: newFailures(cfg, now), both: newFailures(cfg, now),
		pending: make(map[key]int), waiting: make(map[key][]*attempt),
	}
}

// Check checks a login. If the answer comes later it returns Pending, and calls done once,
// possibly on another goroutine and before Check returns: done must only post.
func (g *Guard) Check(l Login, done func(Verdict)) Verdict {
	a := &attempt{Login: l, done: done}
	var counted bool
	if a.source, counted = keyOf(l.Source); !counted {
		return g.run(a)
	}
	name := maphash.String(g.seed, l.Name)
	a.account, a.both = key{name, 1}, key{name ^ maphash.Comparable(g.seed, a.source), 2}
	if len(l.Password) > 0 {
		a.wrong = maphash.Bytes(g.seed, l.Password)
	}
	g.mu.Lock()
	r, blocked := g.admit(a, time.Now())
	var dropped *attempt
	if r == Pending && blocked != (key{}) {
		r, dropped = g.wait(a, blocked)
		g.mu.Unlock()
		if dropped != nil {
			dropped.done(Verdict{Result: Busy})
		}
		return Verdict{Result: r}
	}
	g.mu.Unlock()
	if r != Pending {
		return Verdict{Result: r}
	}
	return g.run(a)
}

// admit decides whether an attempt may be checked now: Pending, and it counts as under way;
// or Pending with the key whose checks it has to wait for; or Limited.
func (g *Guard) admit(a *attempt, now time.Time) (r Result, blocked key) {
	own, refused, right := g.both.look(a.both, now)
	if refused > 0 {
		return Limited, key{}
	}
	if under := g.pending[a.both]; under > 0 && own+under >= g.limit {
		return Pending, a.both
	}
	if !right || g.pending[a.both] > 0 {
		for _, by := range []struct {
			table *failures
			key   key
		}{{g.sources, a.source}, {g.accounts, a.account}} {
			failures, refused, _ := by.table.look(by.key, now)
			if refused > 0 {
				return Limited, key{}
			}
			if under := g.pending[by.key]; under > 0 && failures+under >= g.limit {
				return Pending, by.key
			}
		}
	}
	for _, k := range []key{a.source, a.account, a.both} {
		g.pending[k]++
	}
	return Pending, key{}
}

// wait has an attempt wait for the checks of a key. When too many wait, one of those that
// wait for the same is dropped, or else this one.
func (g *Guard) wait(a *attempt, blocked key) (r Result, dropped *attempt) {
	if g.waiters >= g.most {
		most := blocked
		for k, w := range g.waiting {
			if len(w) > len(g.waiting[most]) {
				most = k
			}
		}
		w := g.waiting[most]
		if len(w) <= len(g.waiting[blocked])+1 {
			return Busy, nil
		}
		dropped = w[len(w)-1]
		g.waiting[most] = w[:len(w)-1]
		g.waiters--
	}
	a.Password, a.Challenge, a.Response = bytes.Clone(a.Password), bytes.Clone(a.Challenge), bytes.Clone(a.Response)
	g.waiting[blocked] = append(g.waiting[blocked], a)
	g.waiters++
	return Pending, dropped
}

// run checks an attempt that was admitted.
func (g *Guard) run(a *attempt) Verdict {
	r := Refused
	switch {
	case a.Wrong:
	case a.Challenge != nil:
		r = g.checker.CheckCRAMMD5(a.Secret, a.Challenge, a.Response)
	default:
		r = g.checker.Check(a.source, a.ID, a.Secret, a.Password, func(r Result) { a.done(g.ended(a, r)) })
	}
	if r == Pending {
		return Verdict{Result: Pending}
	}
	return g.ended(a, r)
}

// ended counts the end of a check, and checks the attempts that had to wait for it.
func (g *Guard) ended(a *attempt, r Result) Verdict {
	v := Verdict{Result: r}
	if r == Allowed && a.Unknown {
		v.Result = Refused
	}
	if a.source == (key{}) {
		return v
	}
	now := time.Now()
	switch v.Result {
	case Allowed:
		g.succeeded(a, now)
	case Refused:
		v.Delay = g.failed(a, now)
	}
	g.mu.Lock()
	for _, k := range []key{a.source, a.account, a.both} {
		if g.pending[k]--; g.pending[k] == 0 {
			delete(g.pending, k)
		}
	}
	next := g.next(a, now)
	g.mu.Unlock()
	for _, w := range next {
		if w.r != Pending {
			w.done(Verdict{Result: w.r})
		} else if v := g.run(w.attempt); v.Result != Pending {
			w.done(v)
		}
		clear(w.Password)
	}
	return v
}

// released is an attempt that waits no more: Pending is to be checked.
type released struct {
	*attempt
	r Result
}

// next takes the attempts that need not wait any more after a check of a has ended.
func (g *Guard) next(a *attempt, now time.Time) (out []released) {
	for _, k := range []key{a.source, a.account, a.both} {
		w := g.waiting[k]
		for len(w) > 0 {
			r, blocked := g.admit(w[0], now)
			if blocked == k {
				break
			}
			if blocked != (key{}) {
				g.waiting[blocked] = append(g.waiting[blocked], w[0])
			} else {
				out = append(out, released{w[0], r})
				g.waiters--
			}
			w = w[1:]
		}
		if g.waiting[k] = w; len(w) == 0 {
			delete(g.waiting, k)
		}
	}
	return out
}

// failed counts a wrong login.
func (g *Guard) failed(a *attempt, now time.Time) (delay time.Duration) {
	again := false
	g.both.update(a.both, now, true, func(e *entry, t int64) {
		again = a.wrong != 0 && e.wrong == a.wrong
		e.right, e.wrong = false, a.wrong
		delay = g.both.fail(e, t)
		if e.counted = min(e.counted, e.failures-1); !again {
			e.counted++
		}
	})
	if !again {
		delay = max(delay, g.sources.failed(a.source, now), g.accounts.failed(a.account, now))
	}
	return delay
}

// succeeded forgives the failures of the account from that source.
func (g *Guard) succeeded(a *attempt, now time.Time) {
	counted := 0
	g.both.update(a.both, now, true, func(e *entry, _ int64) {
		counted = min(e.counted, e.failures)
		*e = entry{key: e.key, right: true}
	})
	if counted > 0 {
		g.sources.forgive(a.source, counted, now)
		g.accounts.forgive(a.account, counted, now)
	}
}
