package tenant

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/lease"
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
	waits   int       // recipients that wait for permits

	lease *lease.Lease // set before the tenant is used; nil: no other process counts
}

// Lease has the permits that stand beside the places; nil: no other process counts.
func (t *Tenant) Lease() *lease.Lease { return t.lease }

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
	waits int // recipients that Await has wait for permits
}

// Await reports whether n more recipients have their permits in t, or surely get none. If not,
// they wait for them from now on.
func (p *Places) Await(t *Tenant, n int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.of = t
	if n <= 0 || t.lease.Covers(n) || t.lease.Err() != nil {
		p.wait(0)
		return true
	}
	p.wait(n)
	return false
}

// wait has n recipients wait for permits. The lock of the tenant is held.
func (p *Places) wait(n int) {
	if n != p.waits {
		p.of.waits += n - p.waits
		p.waits = n
		p.of.lease.Want(0, p.of.waits, 0)
	}
}

// Take gives a place in t, which all are in, to one more recipient; false if none is free.
func (p *Places) Take(t *Tenant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.meter.Advance(t.now())
	p.of = t
	p.wait(0)
	switch {
	case t.meter.Room(&t.limits) < 1:
		return false
	case p.taken == 0 && t.meter.Take(&t.limits, 1) < 1, p.taken > 0 && !t.meter.TakeRecipient(&t.limits):
		return false // the permits have gone in the meantime
	}
	p.taken++
	return true
}

// Taken is their number.
func (p *Places) Taken() int { return p.taken }

// Leave ends the message: accepted of its places count from now on, the others are free.
func (p *Places) Leave(accepted int) {
	t, taken := p.of, p.taken
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p.wait(0)
	*p = Places{}
	if taken > 0 {
		t.meter.Settle(t.now(), taken, min(accepted, taken))
		t.unsaved = t.unsaved || accepted > 0
	}
}
