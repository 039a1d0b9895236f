package tenant

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/limit"
)

// Config is what is configured of a tenant.
type Config struct {
	// ExternalRecipients is how many external recipients all accounts of the tenant may
	// have in any 24 hours.
	ExternalRecipients int
	// Domains are the tenant's own, in lower case: recipients there are not external. The
	// names of the tenant are own domains as well.
	Domains []string
	// Aliases are further names of the tenant, in lower case: a GUID, or domains.
	Aliases []string
}

// CountKey is what the counts of the tenant of that name are under in the store. No mailbox
// has such a key: account.MailboxKey begins with an endpoint.
func (Config) CountKey(name string) string { return "\x00tenant\x00" + name }

// Tenant counts the external recipients of one tenant. Its methods are safe for concurrent
// use, and none waits.
type Tenant struct {
	name string
	now  func() time.Time
	own  atomic.Pointer[map[string]bool] // the domains whose recipients are not external

	mu      sync.Mutex // guards what follows; a leaf, but for the store's
	limits  account.Limits
	meter   *limit.Meter
	unsaved bool      // the store has other counts
	saved   time.Time // when it was given them last; zero: never all of them
}

// External reports whether a recipient is outside the tenant. A path without a domain
// counts as outside.
func (t *Tenant) External(path []byte) bool {
	var buf [maxName]byte
	domain := path[bytes.LastIndexByte(path, '@')+1:]
	return len(domain) == len(path) || !(*t.own.Load())[string(fold(buf[:0], domain))]
}

// maxName is the length that a name of a domain or tenant has at most, in octets.
const maxName = 255

// fold appends s in lower case, as far as it is ASCII, to b. It does not allocate if s fits.
func fold[S []byte | string](b []byte, s S) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// Use is how much of its limit a tenant has used.
type Use struct {
	Name string
	// Used is the number of external recipients of the last 24 hours, with those of the
	// messages under way; Max is the limit.
	Used, Max int
	// NextPlace is when the next place will be free, if none is.
	NextPlace time.Time
}

// Use returns how much is used now.
func (t *Tenant) Use() Use {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.meter.Advance(t.now())
	used, _ := t.meter.Used(limit.RecipientsPerDay)
	_, next, _ := t.meter.Wait(&t.limits, 1)
	return Use{Name: t.name, Used: used, Max: t.limits.RecipientsPerDay, NextPlace: next}
}

// Places are those that the external recipients of one transaction have. The zero value
// has none. One goroutine at a time may use it.
type Places struct {
	of    *Tenant
	taken int
}

// Take gives a place in t, which all are in, to one more recipient; false if none is free.
func (p *Places) Take(t *Tenant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.meter.Advance(t.now())
	switch {
	case t.meter.Room(&t.limits) < 1:
		return false
	case p.taken == 0:
		t.meter.Take()
	default:
		t.meter.TakeRecipient(&t.limits) // there is room
	}
	p.of = t
	p.taken++
	return true
}

// Taken is their number.
func (p *Places) Taken() int { return p.taken }

// Leave ends the message: accepted of its places count from now on, the others are free.
func (p *Places) Leave(accepted int) {
	t, taken := p.of, p.taken
	*p = Places{}
	if taken == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.meter.Settle(t.now(), taken, min(accepted, taken))
	t.unsaved = t.unsaved || accepted > 0
}
