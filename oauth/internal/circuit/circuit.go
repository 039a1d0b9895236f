// Package circuit has the circuit breakers of OAuth2 clients.
//
// The refreshes of all accounts of one OAuth2 client pass one circuit breaker: what
// one account is told holds for the others.
//
//   - invalid_client: the secret is wrong or has expired. The circuit opens at
//     once, with one alert. Another account tries again at long intervals: a new
//     secret takes some minutes to be known everywhere at the provider.
//   - HTTP 404 or 405: the token URL is wrong, or a server in front of the endpoint
//     is. As for invalid_client, but with short intervals at first.
//   - HTTP 429: the circuit opens for as long as the endpoint asks.
//   - the endpoint is down: the circuit opens after downAfter failures in a row, so
//     that ten thousand accounts do not each find out for themselves.
//
// After its time an open circuit lets one request at a time through, and closes
// with the first other answer. No library's breaker opens by what an answer says,
// for a time that the answer sets, and gives all accounts that answer.
package circuit

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"sync"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/flow"
)

const (
	// downAfter is how many failures in a row open the circuit.
	downAfter = 5
	// DownMax caps how long it stays open then: a probe costs one request, and the
	// accounts of the client wait for the endpoint's return.
	DownMax = 30 * time.Second
	// RefusedMin and refusedMax are the shortest and longest time that it stays open
	// after invalid_client.
	RefusedMin = 5 * time.Minute
	refusedMax = time.Hour
	// noEndpointMin is how long it stays open after the first 404 or 405, which may
	// come from an endpoint that is just being changed.
	noEndpointMin = 30 * time.Second
	// clientMemory is how long the circuit of a client is remembered after its last
	// failure: longer than it may stay open.
	clientMemory = 2 * flow.MaxRetryAfter
	// RefusalRest is how long a refusal stands at least, whatever is reloaded: a
	// client's, and a permanent one of an account.
	RefusalRest = time.Minute
)

// Clients has the circuits that have seen a failure.
type Clients struct {
	// backoff is the delay after the n-th failure in a row.
	backoff func(p account.RetryPolicy, n int, e *flow.Error) time.Duration

	mu    sync.Mutex // guards what follows
	byKey map[[sha256.Size]byte]*client
}

// client is the circuit of one OAuth2 client.
type client struct {
	class    flow.Class // of what keeps the circuit open
	err      *flow.Error
	failures int // in a row
	open     bool
	since    time.Time // when class was first found
	until    time.Time
	touched  time.Time // of the last failure
	probing  bool      // one refresh was let through
}

// New returns closed circuits; backoff is the delay after the n-th failure in a row.
func New(backoff func(p account.RetryPolicy, n int, e *flow.Error) time.Duration) *Clients {
	return &Clients{backoff: backoff, byKey: make(map[[sha256.Size]byte]*client)}
}

// Key names the client of an account: what the token endpoint knows it by
// and how it is reached. Accounts with another secret have another circuit.
func Key(a *account.Account) (key [sha256.Size]byte) {
	h := sha256.New()
	parts := []string{string(a.TokenFlow()), a.TokenURL, a.ClientID, a.ClientSecret.Reveal(),
		string(a.ClientAuth), a.Certificate, a.PrivateKey.Reveal(), a.TokenProxy.Reveal(), a.TokenCAFile}
	for _, p := range append(parts, a.TokenCommand...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	h.Sum(key[:0])
	return key
}

// Refusal returns what callers are told while the circuit of the client is open;
// nil if it is not. Admit decides whether a refresh may run.
func (cs *Clients) Refusal(key [sha256.Size]byte, now time.Time) *flow.Error {
	err, _ := cs.RefusalSince(key, now)
	return err
}

// RefusalSince is Refusal, with the time since when.
func (cs *Clients) RefusalSince(key [sha256.Size]byte, now time.Time) (err *flow.Error, since time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.byKey[key]; c != nil && c.open && now.Before(c.until) {
		return c.answer(now), c.since
	}
	return nil, time.Time{}
}

// Admit lets a refresh through, or returns why not. The outcome of an admitted
// refresh must be reported.
func (cs *Clients) Admit(key [sha256.Size]byte, now time.Time) *flow.Error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byKey[key]
	switch {
	case c == nil || !c.open:
		return nil
	case c.probing || now.Before(c.until):
		return c.answer(now)
	}
	c.probing = true
	return nil
}

// answer returns what an open circuit tells callers.
func (c *client) answer(now time.Time) *flow.Error {
	e := *c.err
	e.RetryAfter = max(c.until.Sub(now), time.Second)
	return &e
}

// Report learns from the outcome of a refresh that was let through. alert means
// that this outcome was the first to find the client refused.
func (cs *Clients) Report(key [sha256.Size]byte, p account.RetryPolicy, err *flow.Error, now time.Time) (alert bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byKey[key]
	if c != nil {
		c.probing = false
	}
	var class flow.Class
	switch {
	case err != nil && lasting(err.Class):
		class = err.Class
	case err != nil && err.Status == http.StatusTooManyRequests:
		class = flow.ClassThrottled
	case err != nil && err.EndpointDown():
		class = flow.ClassUnavailable
	case err != nil && err.Err != nil: // a fault of ours says nothing about the client
		return false
	default:
		delete(cs.byKey, key)
		return false
	}
	if c == nil {
		c = &client{since: now}
		cs.byKey[key] = c
	}
	if c.class != class {
		*c = client{class: class, open: c.open, until: c.until, err: c.err, since: now}
	}
	c.failures++
	c.touched = now
	var delay time.Duration
	switch class {
	case flow.ClassInvalidClient:
		delay = min(RefusedMin<<min(c.failures-1, 8), refusedMax)
	case flow.ClassNoEndpoint:
		delay = min(noEndpointMin<<min(c.failures-1, 8), refusedMax)
	case flow.ClassThrottled:
		delay = cs.backoff(p, c.failures, err)
	default:
		if c.failures < downAfter {
			return false
		}
		delay = min(cs.backoff(p, c.failures-downAfter+1, err), DownMax)
	}
	c.open, c.err, c.until = true, err, now.Add(delay)
	return lasting(class) && c.failures == 1
}

// lasting reports whether only an operator's act ends what opened a circuit.
func lasting(c flow.Class) bool { return c == flow.ClassInvalidClient || c == flow.ClassNoEndpoint }

// Forgive closes the circuits of refused clients, because the configuration was
// read again, and forgets circuits without a failure for clientMemory.
func (cs *Clients) Forgive(now time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for key, c := range cs.byKey {
		if lasting(c.class) && now.Sub(c.since) >= RefusalRest || !c.probing && now.Sub(c.touched) >= clientMemory {
			delete(cs.byKey, key)
		}
	}
}

// Release closes the circuit of a client that was refused.
func (cs *Clients) Release(key [sha256.Size]byte) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.byKey[key]; c != nil && lasting(c.class) {
		delete(cs.byKey, key)
	}
}

// IsRefused reports whether the provider has refused the client, and no account
// has had another answer since.
func (cs *Clients) IsRefused(key [sha256.Size]byte) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byKey[key]
	return c != nil && c.class == flow.ClassInvalidClient
}

// CountRefused is the number of clients that the provider refuses.
func (cs *Clients) CountRefused() (n int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range cs.byKey {
		if c.class == flow.ClassInvalidClient {
			n++
		}
	}
	return n
}
