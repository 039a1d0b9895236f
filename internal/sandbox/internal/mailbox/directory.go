package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Directory has the mailboxes. The zero value is empty. Its methods may be called
// from any goroutine.
type Directory struct {
	mu      sync.Mutex          // guards what follows
	byEmail map[string]*Mailbox // by address in lower case
	order   []*Mailbox
	tenants map[string]*tenant // by name
	spans   []wait.Duration    // of new mailboxes
}

// Add adds a mailbox. endpoints are the names of the endpoints.
func (d *Directory) Add(a Account, endpoints map[string]bool) (*Mailbox, error) {
	key := strings.ToLower(a.Email)
	d.mu.Lock()
	defer d.mu.Unlock()
	m := newMailbox(a.WithDefaults(), d.spans)
	if errs := m.Check(len(d.order), endpoints, map[string]bool{key: d.byEmail[key] != nil}); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if m.tenant = d.tenants[m.Tenant]; m.tenant == nil && m.Tenant != "" {
		return nil, fmt.Errorf("account %s: there is no tenant %q", m.Email, m.Tenant)
	}
	if d.byEmail == nil {
		d.byEmail = map[string]*Mailbox{}
	}
	d.byEmail[key] = m
	d.order = append(d.order, m)
	return m, nil
}

// Mailbox returns the mailbox with that address, or nil.
func (d *Directory) Mailbox(email string) *Mailbox {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byEmail[strings.ToLower(email)]
}

// Mailboxes returns all mailboxes in the order in which they were added.
func (d *Directory) Mailboxes() []*Mailbox {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.order)
}

// Accounts returns the accounts of all mailboxes in the order in which they were
// added.
func (d *Directory) Accounts() []Account {
	boxes := d.Mailboxes()
	out := make([]Account, len(boxes))
	for i, m := range boxes {
		out[i] = m.Account
	}
	return out
}

// AccountStats returns the counters of the account with that address; the zero
// value if there is none.
func (d *Directory) AccountStats(email string) Stats {
	if m := d.Mailbox(email); m != nil {
		return m.Stats()
	}
	return Stats{}
}

// WaitAccount waits until the counters of the account satisfy cond.
func (d *Directory) WaitAccount(ctx context.Context, email string, cond func(Stats) bool) error {
	m := d.Mailbox(email)
	if m == nil {
		return fmt.Errorf("there is no account %q", email)
	}
	if err := m.changed.Until(ctx, func() bool { return cond(m.Stats()) }); err != nil {
		return fmt.Errorf("account %s: %+v: %w", email, m.Stats(), err)
	}
	return nil
}
