// Package verify finds out whether accounts work, and says why if they do not:
// the keys that they sign with, a token, a login at the provider. Commands and
// the running proxy use it alike.
package verify

import (
	"context"
	"sync"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// Verifier gets tokens for accounts and logs in with them. It has a token manager
// of its own, apart from a running proxy.
type Verifier struct {
	tokens   *oauth.Manager
	logins   *upstream.Verifier
	families *families
}

// New returns a verifier, to be closed by the caller. The store of tokens must be set.
// accounts are those that have a refresh token in common with an account to be verified,
// see WithTwins.
func New(tokens oauth.Config, providers upstream.Config, accounts []*account.Account) (*Verifier, error) {
	v := &Verifier{families: newFamilies(tokens.Store, accounts)}
	tokens.Store = v.families
	v.tokens = oauth.New(tokens, nil, nil)
	var err error
	if v.logins, err = upstream.NewVerifier(providers, v.tokens); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// Close ends the token manager. The store of its configuration is closed after it.
func (v *Verifier) Close() { v.tokens.Close() }

// Verify gets a token for the account and logs in with it. No login names a whole
// domain: for a catch-all account the token is all.
func (v *Verifier) Verify(ctx context.Context, a *account.Account) error {
	leave, err := v.families.enter(ctx, a)
	if err != nil {
		return err
	}
	defer leave()
	if a.IsCatchAll() {
		return v.tokens.ForceRefresh(ctx, a)
	}
	return v.logins.Verify(ctx, a)
}

// Apart verifies an account that is not in force. It returns the refresh token
// that the provider gave in place of the account's, zero if it gave none. If it
// gave one, the refresh token in the account may be void.
func Apart(ctx context.Context, s *config.Settings, a *account.Account) (newest account.Secret, err error) {
	given, tokens := new(rotations), s.OAuth.Config
	tokens.Store = given
	v, err := New(tokens, s.Upstream.Config, nil)
	if err != nil {
		return account.Secret{}, err
	}
	err = v.Verify(ctx, a)
	v.Close() // a request may have outlived ctx, and its answer counts
	return given.newest(a.ID), err
}

// rotations is a token store in memory that tells which refresh tokens the
// provider replaced. It implements oauth.Store; the zero value is empty.
type rotations struct {
	mu      sync.Mutex // guards records
	records map[string]oauth.Record
}

// Load implements oauth.Store: there is nothing from before.
func (*rotations) Load(oauth.Chain) (oauth.Record, bool, error) { return oauth.Record{}, false, nil }

// Save implements oauth.Store.
func (s *rotations) Save(c oauth.Chain, r oauth.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records == nil {
		s.records = make(map[string]oauth.Record)
	}
	s.records[c.AccountID] = r
	return nil
}

// Retain implements oauth.Store.
func (*rotations) Retain(func(oauth.Chain) bool) error { return nil }

// newest returns the refresh token that replaced the account's, zero if none did.
func (s *rotations) newest(id string) account.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[id].Refresh
}
