package carry

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
)

// endpoint is what the answers of a provider's endpoint have shown of it, for all accounts.
// It is safe for concurrent use.
type endpoint struct {
	name string // "host:port"
	log  *zap.Logger

	mu    sync.Mutex            // guards the changes of wear and plain; a leaf
	wear  atomic.Pointer[wear]  // nil: nothing is known
	plain atomic.Pointer[plain] // nil: BDAT works, as far as is known
}

// plain is why, and for how long, content goes by DATA to an endpoint that announces
// CHUNKING.
type plain struct {
	until  time.Time
	silent bool // it has not answered BDAT; else it has refused BDAT itself
}

// wear is after how many messages an endpoint ends its connections.
type wear struct {
	seen  int       // it was seen once, after that many messages
	limit int       // it was seen twice: the most messages of a connection; 0: only once
	since time.Time // of seen, and of limit
}

const (
	// wearMemory is how long it is remembered that an endpoint ends its connections.
	wearMemory = time.Hour
	// leastWear is the lowest limit that refusals lead to: if already the second message of
	// a connection is refused, a login for each message may be what the provider minds.
	leastWear = 2
	// plainMemory is how long content goes by DATA to an endpoint that announces CHUNKING
	// and does not know BDAT.
	plainMemory = 24 * time.Hour
	// silenceMemory is the same for an endpoint that did not answer BDAT: it may only have
	// been slow.
	silenceMemory = time.Hour
	// closesBehind is how long after its 250 a provider ends a connection that it takes for
	// used up, and not for idle.
	closesBehind = time.Second
)

// endpoint returns what is known of an endpoint.
func (r *Relay) endpoint(name string) *endpoint {
	if v, ok := r.endpoints.Load(name); ok {
		return v.(*endpoint)
	}
	v, _ := r.endpoints.LoadOrStore(name, &endpoint{name: name, log: r.log})
	return v.(*endpoint)
}

// most is the most messages of a connection; 0: any number.
func (e *endpoint) most(now time.Time) int {
	w := e.wear.Load()
	if w == nil || now.Sub(w.since) >= wearMemory {
		return 0
	}
	return w.limit
}

// refuses notes that a connection which had carried n messages was refused the next one,
// and that a fresh connection was not.
func (e *endpoint) refuses(n int, now time.Time) {
	if n >= leastWear {
		e.ends(n, now)
	}
}

// ends notes that the provider has ended a connection after n messages. What is seen
// twice at the same count is a limit.
func (e *endpoint) ends(n int, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := &wear{seen: n, since: now}
	if w := e.wear.Load(); w != nil && now.Sub(w.since) < wearMemory {
		switch {
		case w.limit == n:
			return
		case w.seen == n:
			next.limit = n
			e.log.Info("provider ends connections after some messages: they are closed before", zap.String("upstream", e.name), zap.Int("messages", n))
		case w.limit > 0:
			next.limit, next.since = w.limit, w.since
		}
	}
	e.wear.Store(next)
}

// carries notes that the provider has accepted message n of a connection: it does not end
// connections before that.
func (e *endpoint) carries(n int) {
	if w := e.wear.Load(); w == nil || n <= max(w.seen, w.limit) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if w := e.wear.Load(); w != nil && n > max(w.seen, w.limit) {
		e.wear.Store(nil)
	}
}

// avoidBDAT has content go by DATA from now on. silent: the provider has not answered BDAT.
func (e *endpoint) avoidBDAT(silent bool, now time.Time) {
	next, why := &plain{now.Add(plainMemory), silent}, "provider announces CHUNKING and does not know BDAT: content goes by DATA"
	if silent {
		next.until, why = now.Add(silenceMemory), "provider announces CHUNKING and has not answered BDAT: content goes by DATA"
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.plain.Load()
	lasts := was != nil && now.Before(was.until)
	if lasts && was.until.After(next.until) {
		return
	}
	e.plain.Store(next)
	if !lasts {
		e.log.Warn(why, zap.String("upstream", e.name), zap.Time("until", next.until))
	}
}

// takesBDAT notes that the provider has accepted content by BDAT: it does not leave BDAT
// without an answer.
func (e *endpoint) takesBDAT() {
	if p := e.plain.Load(); p != nil && p.silent {
		e.plain.CompareAndSwap(p, nil)
	}
}

// without returns the extensions that a message cannot use though the provider
// announces them. One with BINARYMIME goes by BDAT or not at all: to an endpoint that
// did not answer BDAT it goes all the same.
func (e *endpoint) without(m *codec.MailArgs, now time.Time) codec.Extensions {
	p := e.plain.Load()
	if p == nil || !now.Before(p.until) || p.silent && m.Body == codec.BodyBinaryMIME {
		return 0
	}
	return codec.ExtCHUNKING | codec.ExtBINARYMIME
}

// observe keeps what the answer to tx shows of the endpoint.
func (c *Conn) observe(tx *Transaction, now time.Time) {
	x := &c.client.Exchange
	switch {
	case x.NoBDAT:
		c.at.avoidBDAT(false, now)
	case x.BDAT && x.Silence > 0 && x.Silence >= c.relay.longSilence():
		c.at.avoidBDAT(true, now)
	case x.Reply.Positive():
		if x.BDAT {
			c.at.takesBDAT()
		}
		c.at.carries(c.Messages)
		if tx.wornAt > 0 && !c.a.reused {
			c.at.refuses(tx.wornAt, now)
		}
		if !c.client.Usable() {
			c.endedBehind(now)
		}
	}
}

// longSilence is from when on a provider that does not answer is not merely slow: half of
// what it may have. A big content, or a message that has waited, leaves it less.
func (r *Relay) longSilence() time.Duration {
	return min(r.cfg.FinalTimeout, r.cfg.TransactionTimeout*7/8) / 2
}

// endedBehind notes that the provider has ended the connection, if that was right after
// its 250 to a message.
func (c *Conn) endedBehind(now time.Time) {
	if !c.ended && c.Messages > 0 && c.client.Exchange.Reply.Positive() && now.Sub(c.client.Since()) < closesBehind {
		c.ended = true
		c.at.ends(c.Messages, now)
	}
}
