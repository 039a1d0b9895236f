package mailbox

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Tenant is an organization whose mailboxes may have so many external recipients together.
// What is beyond is answered with 250 and bounced, as Exchange Online does it: it is not
// among the messages. The limit is in force even when limits are off.
type Tenant struct {
	// Name is a domain of the tenant, or stands for it.
	Name string `json:"name"`
	// ExternalRecipients is how many there may be in any 24 hours.
	ExternalRecipients int `json:"external_recipients"`
	// Domains are the tenant's own, beside Name: recipients there are not external.
	Domains []string `json:"domains"`
	// Refuse has a message beyond the limit refused with 550 5.7.233 at the end of its
	// content, and not bounced.
	Refuse bool `json:"refuse"`
}

// TenantStats are the counters of a tenant.
type TenantStats struct {
	Recipients    int `json:"recipients"`     // external ones of the last 24 hours
	MaxRecipients int `json:"max_recipients"` // the most in any 24 hours so far
	Beyond        int `json:"beyond"`         // external recipients beyond the limit
}

// tenant is a tenant at work.
type tenant struct {
	Tenant

	mu     sync.Mutex // guards what follows
	counts []count    // oldest first
	stats  TenantStats
}

// count is a number of recipients at a time.
type count struct {
	at time.Time
	n  int
}

// external reports whether a recipient is outside the tenant.
func (t *tenant) external(path string) bool {
	domain := path[strings.LastIndexByte(path, '@')+1:]
	for _, own := range append([]string{t.Name}, t.Domains...) {
		if strings.EqualFold(own, domain) {
			return false
		}
	}
	return true
}

// admit counts n external recipients; false if they are beyond the limit, and not counted.
func (t *tenant) admit(n int, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.counts) > 0 && now.Sub(t.counts[0].at) > 24*time.Hour {
		t.stats.Recipients -= t.counts[0].n
		t.counts = t.counts[1:]
	}
	if t.stats.Recipients+n > t.ExternalRecipients {
		t.stats.Beyond += n
		return false
	}
	t.counts = append(t.counts, count{now, n})
	t.stats.Recipients += n
	t.stats.MaxRecipients = max(t.stats.MaxRecipients, t.stats.Recipients)
	return true
}

// AdmitToTenant counts the external ones of these recipients for the tenant of the mailbox,
// which it must have. If they are beyond its limit, ok is false; refuse says that the message
// is refused then, and not bounced.
func (m *Mailbox) AdmitToTenant(recipients []string, now time.Time) (ok, refuse bool) {
	n := 0
	for _, path := range recipients {
		if m.tenant.external(path) {
			n++
		}
	}
	return n == 0 || m.tenant.admit(n, now), m.tenant.Refuse
}

// AddTenant adds a tenant, for accounts that are added later.
func (d *Directory) AddTenant(t Tenant) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case t.Name == "" || t.ExternalRecipients < 1:
		return fmt.Errorf("tenant %q: a name and external_recipients are needed", t.Name)
	case d.tenants[t.Name] != nil:
		return fmt.Errorf("tenant %q: there is another one of that name", t.Name)
	case d.tenants == nil:
		d.tenants = map[string]*tenant{}
	}
	d.tenants[t.Name] = &tenant{Tenant: t}
	return nil
}

// TenantStats returns the counters of a tenant; the zero value if there is none.
func (d *Directory) TenantStats(name string) TenantStats {
	d.mu.Lock()
	t := d.tenants[name]
	d.mu.Unlock()
	if t == nil {
		return TenantStats{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}
