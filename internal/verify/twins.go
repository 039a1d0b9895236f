package verify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
)

// Accounts whose files have one refresh token are twins: for a mailbox under two names, or
// by references to one file. Where the provider replaces the token, what one of them gets
// is good for all, and the token before it is void. Therefore twins are verified one after
// the other, each with the newest token, and each new token is saved for all of them.

// WithTwins returns the chosen accounts and, of all accounts, those that have the refresh
// token of a chosen one.
func WithTwins(chosen, all []*account.Account) []*account.Account {
	tokens, in := make(map[account.Secret]bool), make(map[*account.Account]bool)
	for _, a := range chosen {
		tokens[a.RefreshToken], in[a] = hasRefreshToken(a), true
	}
	out := slices.Clone(chosen)
	for _, a := range all {
		if hasRefreshToken(a) && tokens[a.RefreshToken] && !in[a] {
			out = append(out, a)
		}
	}
	return out
}

func hasRefreshToken(a *account.Account) bool {
	return a.TokenFlow() == account.FlowRefreshToken && !a.RefreshToken.IsZero()
}

// family are the accounts that have one refresh token.
type family struct {
	turn     chan struct{} // has an element while a member is verified
	accounts []*account.Account

	mu      sync.Mutex // guards the two below
	newest  account.Secret
	rotated time.Time
}

// families is an oauth.Store over another one: twins have one refresh token.
type families struct {
	oauth.Store
	began time.Time
	of    map[string]*family // by account_id
}

func newFamilies(below oauth.Store, accounts []*account.Account) *families {
	fs := &families{below, time.Now(), make(map[string]*family)}
	byToken := make(map[account.Secret]*family)
	for _, a := range accounts {
		if !hasRefreshToken(a) {
			continue
		}
		f := byToken[a.RefreshToken]
		if f == nil {
			f = &family{turn: make(chan struct{}, 1)}
			byToken[a.RefreshToken] = f
		}
		f.accounts = append(f.accounts, a)
		fs.of[a.ID] = f
	}
	return fs
}

// enter waits for the turn of the account among its twins. leave ends the turn.
func (fs *families) enter(ctx context.Context, a *account.Account) (leave func(), err error) {
	f := fs.of[a.ID]
	if f == nil {
		return func() {}, nil
	}
	select {
	case f.turn <- struct{}{}:
		return func() { <-f.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Load implements oauth.Store.
func (fs *families) Load(c oauth.Chain) (oauth.Record, bool, error) {
	r, ok, err := fs.Store.Load(c)
	f := fs.of[c.AccountID]
	if f == nil || err != nil {
		return r, ok, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.newest.IsZero() {
		r.Refresh, r.Rotated, ok = f.newest, f.rotated, true
	}
	return r, ok, nil
}

// Save implements oauth.Store.
func (fs *families) Save(c oauth.Chain, r oauth.Record) error {
	err := fs.Store.Save(c, r)
	f := fs.of[c.AccountID]
	if f == nil || r.Refresh.IsZero() || r.Rotated.Before(fs.began) {
		return err
	}
	f.mu.Lock()
	f.newest, f.rotated = r.Refresh, r.Rotated
	f.mu.Unlock()
	for _, a := range f.accounts {
		if a.ID == c.AccountID {
			continue
		}
		twin, _, lerr := fs.Store.Load(oauth.ChainOf(a))
		if lerr == nil {
			twin.Refresh, twin.Rotated = r.Refresh, r.Rotated
			lerr = fs.Store.Save(oauth.ChainOf(a), twin)
		}
		err = errors.Join(err, lerr)
	}
	return err
}
