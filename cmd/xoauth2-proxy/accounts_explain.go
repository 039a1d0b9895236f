package main

import (
	"context"
	"errors"
	"strings"
	"sync"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// failure is why an account does not work, for people and for programs.
type failure struct {
	// Phase is how far it came: "token", "connect", "AUTH" ...
	Phase string `json:"phase"`
	// Class is a short name in snake_case.
	Class string `json:"class"`
	// Message is what happened, Hint what to do; one line each.
	Message string `json:"message"`
	Hint    string `json:"hint"`
	// Permanent says that somebody must act.
	Permanent bool `json:"permanent"`
}

// text is the failure in one line.
func (f failure) text() string {
	if f.Hint == "" || strings.Contains(f.Message, f.Hint) {
		return f.Message
	}
	return f.Message + ": " + f.Hint
}

// explain says what an error of a token request or of a login means.
func explain(err error) failure {
	f := failure{Class: "failed", Message: err.Error()}
	up, login := errors.AsType[*upstream.Error](err)
	if login {
		f.Phase, f.Class = up.Phase.String(), strings.ReplaceAll(strings.ToLower(up.Phase.String()), " ", "_")+"_failed"
	}
	if token, ok := errors.AsType[*oauth.Error](err); ok {
		f.Phase, f.Class, f.Hint, f.Permanent = "token", token.Class.String(), token.Hint, token.Permanent()
		f.Message = strings.TrimSuffix(token.Public(), ": "+token.Hint)
		if token.Err != nil {
			f.Message += ": " + token.Err.Error()
		}
		return f
	}
	if login {
		if class, hint, ok := up.Explain(); ok {
			f.Class, f.Hint, f.Permanent = class.String(), hint, class.Permanent()
		}
	}
	return f
}

// verifyApart verifies an account that is not in force, with a token manager of
// its own. It returns the refresh token that the provider gave in the place of
// the account's, if it did; the one in the account may be void then.
func verifyApart(ctx context.Context, settings *config.Settings, a *account.Account) (newest account.Secret, err error) {
	kept := new(rotations)
	cfg := settings.OAuth.Config
	cfg.Store = kept
	tokens := oauth.New(cfg, nil, nil)
	defer tokens.Close()
	v, err := upstream.NewVerifier(settings.Upstream.Config, tokens)
	if err != nil {
		return account.Secret{}, err
	}
	if a.IsCatchAll() { // nobody can log in as a whole domain
		err = tokens.ForceRefresh(ctx, a)
	} else {
		err = v.Verify(ctx, a)
	}
	return kept.newest(a.ID), err
}

// rotations is a token store that keeps refresh tokens in memory, to find out
// whether the provider replaced them. It implements oauth.Store.
type rotations struct {
	mu      sync.Mutex // guards what follows
	records map[string]oauth.Record
}

// Load implements oauth.Store: nothing is known from before.
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

// newest is the refresh token that replaced the account's, zero if none did.
func (s *rotations) newest(id string) account.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[id].Refresh
}

// len is the number of accounts whose refresh token was replaced.
func (s *rotations) len() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if !r.Refresh.IsZero() {
			n++
		}
	}
	return n
}
