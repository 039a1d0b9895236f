package oauth

import (
	"encoding/binary"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
)

const (
	// keepAliveRound is how long one look through all accounts lasts. Ten thousand
	// due accounts make three refreshes a second in that time.
	keepAliveRound = time.Hour
	// firstUseWithin is how soon the refresh token of an account that was never used
	// is refreshed: its age is not known.
	firstUseWithin = 7 * 24 * time.Hour
)

// keepAlive looks through the accounts, one after the other, until Close. It has a
// refresh token refreshed before it expires from inactivity.
func (m *Manager) keepAlive() {
	for {
		m.retainStored()
		accounts := m.accounts.Load().All()
		step := keepAliveRound / time.Duration(max(len(accounts), 1))
		for _, a := range accounts {
			if !m.rest(step) {
				return
			}
			m.keepAliveOne(a)
		}
		if len(accounts) == 0 && !m.rest(step) {
			return
		}
	}
}

// retainStored tells the store which chains are live.
func (m *Manager) retainStored() {
	if m.cfg.Store == nil {
		return
	}
	snap := m.accounts.Load()
	err := m.cfg.Store.Retain(func(c Chain) bool {
		a, ok := snap.ByID(c.AccountID)
		if !ok && len(snap.LeftOut()) > 0 { // it may be the account of a wrong entry
			return true
		}
		if ok && a.Base() != nil { // every name is a mailbox: the ones in use count
			_, ok = m.sources.Load(c.AccountID)
		}
		return ok && a.ChainFingerprint() == c.Fingerprint
	})
	if err != nil {
		m.metrics.StoreErrors.Inc()
		m.log.Error("the token store cannot be tidied", zap.Error(err))
	}
}

// keepAliveOne looks at the current account with the ID of a.
func (m *Manager) keepAliveOne(a *account.Account) {
	a, ok := m.accounts.Load().ByID(a.ID)
	if !ok {
		return
	}
	var s *Source
	if v, ok := m.sources.Load(a.ID); ok {
		s = v.(*Source)
	}
	period := m.keepAlivePeriod(a)
	if period <= 0 {
		return
	}
	m.compare(a)
	r, ok := m.recordOf(a, s)
	if ok && !time.Now().Before(keepAliveDue(r, a, period)) {
		m.Source(a).refreshUnused()
	}
}

// keepAlivePeriod is how long the account's refresh token may be unused; 0: the
// account has none, or keep-alive is off for it.
func (m *Manager) keepAlivePeriod(a *account.Account) time.Duration {
	if a.TokenFlow() != account.FlowRefreshToken || a.RefreshToken.IsZero() {
		return 0
	}
	if a.KeepAlive == 0 {
		return m.cfg.KeepAlive
	}
	return max(a.KeepAlive, 0)
}

// recordOf returns the record of the account's chain. It enters a chain that is
// new to the store; ok is false if the store fails.
func (m *Manager) recordOf(a *account.Account, s *Source) (r Record, ok bool) {
	if s != nil {
		s.mu.Lock()
		r, ok = s.record, s.loaded
		s.mu.Unlock()
		if ok {
			return r, true
		}
	}
	if m.cfg.Store == nil {
		return Record{Seen: m.started}, true
	}
	r, ok, err := m.cfg.Store.Load(ChainOf(a))
	if err == nil && !ok {
		r = Record{Seen: time.Now()}
		if err = m.cfg.Store.Save(ChainOf(a), r); err != nil {
			m.saveLater()
		}
	}
	if err != nil {
		m.metrics.StoreErrors.Inc()
		m.log.Error("it is not known when the account was used last", zap.String("account", a.ID), zap.Error(err))
	}
	return r, err == nil
}

// keepAliveDue is the latest time to use a refresh token. Accounts are spread over
// the last tenth of the period, so that accounts that were used together are not
// refreshed together for ever.
func keepAliveDue(r Record, a *account.Account, period time.Duration) time.Time {
	print := a.ChainFingerprint()
	spread := float64(binary.BigEndian.Uint32(print[:])) / (1 << 32)
	if r.Refreshed.IsZero() {
		return r.Seen.Add(time.Duration(spread * float64(min(period, firstUseWithin))))
	}
	return r.Refreshed.Add(period - time.Duration(spread*float64(period/10)))
}

// refreshUnused refreshes in the background, unless the source is retired, busy or
// refused.
func (s *Source) refreshUnused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.retired && s.call == nil && s.remembered(time.Now()) == nil {
		s.start(time.Now(), true)
	}
}

// compareAll compares the records of all accounts with what was published, once the store of
// the share answers: the process before may have ended between saving and publishing.
func (m *Manager) compareAll() {
	for _, a := range m.accounts.Load().All() {
		for m.compare(a) != nil {
			if !m.rest(shareRetry) {
				return
			}
		}
	}
}

// compare adopts what was published for the account, or has its record published.
func (m *Manager) compare(a *account.Account) error {
	if !m.shares(a) || m.ctx.Err() != nil {
		return nil
	}
	published, err := m.cfg.Share.Published(m.ctx, ChainOf(a))
	if err != nil {
		return err
	}
	var s *Source
	if v, ok := m.sources.Load(a.ID); ok {
		s = v.(*Source)
	}
	r, _ := m.recordIfKnown(a, s)
	switch {
	case published != nil && published.Newer(&r):
		m.Adopt(ChainOf(a), *published)
	case r.Access.IsZero() && r.Refresh.IsZero():
	case published == nil || published.Access != r.Access || published.Refresh != r.Refresh:
		s = m.Source(a)
		s.mu.Lock()
		s.untold = true
		s.mu.Unlock()
		m.saveLater()
	}
	return nil
}
