package oauth

import (
	"context"
	"errors"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/circuit"
)

// suppressed is the cause of an error that repeats the answer of another account of
// the client.
type suppressed struct{ standing *Error }

// Error implements error.
func (s *suppressed) Error() string { return "not asked: " + s.standing.Error() }

// suppressedBy returns the answer of an open circuit, nil if err has another cause.
func suppressedBy(err *Error) *Error {
	if err == nil {
		return nil
	}
	if s, ok := errors.AsType[*suppressed](err.Err); ok {
		return s.standing
	}
	return nil
}

// AccountState is the state of an account's tokens for an operator. Zero times are
// unknown or do not apply. It holds no secret.
type AccountState struct {
	// Flow is how the account gets its tokens.
	Flow account.Flow
	// HasToken: a valid access token is in memory. Issued and Expiry belong to the
	// newest access token, in memory or stored.
	HasToken       bool
	Issued, Expiry time.Time
	// NextRefresh is when a token is replaced in the background if the account is in
	// use, or when the endpoint may be asked again after a failure.
	NextRefresh time.Time
	// LastRotation is when the provider replaced the refresh token last.
	LastRotation time.Time
	// Kept is what is stored of the account's chain, without its tokens.
	Kept Record
	// KeepAlive is the latest time of the next refresh, see Config.KeepAlive.
	KeepAlive time.Time
	// LastUsed is when a client asked for the token last, in this run.
	LastUsed time.Time
	// Unsaved: the newest tokens could not be written to the store.
	Unsaved bool
	// Failures counts transient failures in a row.
	Failures int
	// LastError is why the last refresh failed, nil after a success, or the answer to
	// another account of the client that keeps this one from being refreshed.
	// LastErrorAt is its time. It stands until NextRefresh, or for good if permanent.
	LastError   *Error
	LastErrorAt time.Time
}

// State returns the state of the account with that ID; ok is false if there is
// no such account. It may read the store.
func (m *Manager) State(accountID string) (st AccountState, ok bool) {
	var s *Source
	if v, found := m.sources.Load(accountID); found {
		s = v.(*Source)
		if s.parent != nil {
			st, ok = m.State(s.parent.id)
			s.ownState(&st)
			return st, ok
		}
	}
	var a *account.Account
	if snap := m.accounts.Load(); snap != nil {
		a, _ = snap.ByID(accountID)
	}
	switch {
	case a == nil && s == nil:
		return AccountState{}, false
	case a == nil:
		a = s.account.Load()
	}
	st.Flow = a.TokenFlow()
	r, known := m.recordIfKnown(a, s)
	st.Issued, st.Expiry, st.LastRotation = r.Refreshed, r.Expiry, r.Rotated
	st.Kept = r
	st.Kept.Refresh, st.Kept.Access = account.Secret{}, account.Secret{}
	st.Unsaved = m.pending.Has(ChainOf(a))
	if period := m.keepAlivePeriod(a); known && period > 0 {
		st.KeepAlive = keepAliveDue(r, a, period)
	}
	if s != nil {
		s.fillState(&st)
	}
	m.stateOfClient(&st, a)
	return st, true
}

// stateOfClient adds why no account of the client gets a token, if so.
func (m *Manager) stateOfClient(st *AccountState, a *account.Account) {
	if st.LastError != nil {
		return
	}
	now := time.Now()
	if st.LastError, st.LastErrorAt = m.clients.RefusalSince(circuit.Key(a), now); st.LastError != nil {
		st.NextRefresh = now.Add(st.LastError.RetryAfter)
	}
}

// fillState adds the state of the source.
func (s *Source) fillState(st *AccountState) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Failures = s.failures
	if t := s.token.Load(); t != nil {
		st.HasToken = t.valid(now)
		st.Issued, st.Expiry, st.NextRefresh = t.issued, t.Expiry, t.renew
	}
	s.stateOfFailure(st, now)
	if used := s.used.Load(); used != 0 {
		st.LastUsed = time.Unix(used, 0)
	}
}

// stateOfFailure adds the last failure. Called with mu.
func (s *Source) stateOfFailure(st *AccountState, now time.Time) {
	s.reconsider()
	if s.failure == nil {
		return
	}
	st.LastError, st.LastErrorAt = s.failure, s.failedAt
	switch {
	case s.failure.Permanent():
		st.NextRefresh = time.Time{}
	case s.retryAt.After(now):
		st.NextRefresh = s.retryAt
	}
}

// ownState adds the own failures of a mailbox that shares a token.
func (s *Source) ownState(st *AccountState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stateOfFailure(st, time.Now())
}

// Failure returns why the account gets no token, nil if nothing is against it, and when
// the endpoint may be asked again. Unlike State it reads no store.
func (m *Manager) Failure(a *account.Account) (err *Error, retry time.Time) {
	var st AccountState
	if v, found := m.sources.Load(a.ID); found {
		s := v.(*Source)
		s.ownState(&st)
	}
	m.stateOfClient(&st, a)
	return st.LastError, st.NextRefresh
}

// ForceRefresh gets a new access token for the account now, ignoring what is
// remembered, stored or cached, and returns why that failed. See Fetch.
func (m *Manager) ForceRefresh(ctx context.Context, a *account.Account) error {
	_, err := m.Fetch(ctx, a)
	return err
}

// Fetch is ForceRefresh that returns the token. It joins a running refresh. It works
// for an account that Retain does not know, too: the source is not kept then, but a
// rotated refresh token is stored. The error is an *Error.
func (m *Manager) Fetch(ctx context.Context, a *account.Account) (*Token, error) {
	s, known := m.registered(a)
	if !known {
		fetched := a
		if base := sharesToken(a); base != nil {
			fetched = base
		}
		s = m.detached(fetched, nil)
		defer s.retire()
	}
	of := s
	if s.parent != nil {
		of = s.parent
	}
	c, fault := of.force()
	if fault != nil {
		return nil, fault
	}
	t, err := c.wait(ctx)
	if err != nil {
		return nil, err
	}
	if t.login != loginOf(a) {
		t = t.forLogin(loginOf(a))
	}
	return t, nil
}

// registered returns the source of a, if Source would give one that works.
func (m *Manager) registered(a *account.Account) (s *Source, ok bool) {
	if snap := m.accounts.Load(); snap != nil {
		if cur, ok := snap.ByID(a.ID); !ok || cur.CredentialsFingerprint() != a.CredentialsFingerprint() {
			return nil, false
		}
	}
	return m.Source(a), true
}

// force queues a refresh, or joins one.
func (s *Source) force() (*call, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired {
		return nil, errRetired
	}
	if s.call == nil {
		if !s.begin(&call{forced: true, asked: time.Now()}) {
			return nil, errClosing
		}
		return s.call, nil
	}
	if s.call.stuck {
		return nil, errStuck
	}
	s.call.forced = true
	s.await(time.Now())
	return s.call, nil
}
