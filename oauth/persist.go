package oauth

import (
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/workers"
)

// load reads the chain from the store, once. After a failure the next refresh reads the
// store again.
func (s *Source) load() error {
	s.mu.Lock()
	done := s.loaded
	s.mu.Unlock()
	if done || s.m.cfg.Store == nil {
		return nil
	}
	r, _, err := s.m.cfg.Store.Load(s.chain)
	if err != nil {
		s.m.metrics.StoreErrors.Inc()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record, s.loaded = r, true
	return nil
}

// stored returns the access token of an earlier run, if it is still good. Only the
// first refresh of a source uses it: later ones run because a token was refused or
// is due.
func (s *Source) stored() (got flow.Issued, ok bool) {
	s.mu.Lock()
	first := !s.loaded
	s.mu.Unlock()
	if !first || s.load() != nil {
		return flow.Issued{}, false
	}
	return s.kept()
}

// kept returns the access token of the record, if it is still good.
func (s *Source) kept() (got flow.Issued, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.record
	now := time.Now()
	if r.Access.IsZero() || r.Credentials != s.fingerprint || now.Before(r.Refreshed) ||
		!r.Expiry.Add(-expirySkew).After(now) || !flow.IsBearer(r.Access.Reveal()) {
		return flow.Issued{}, false
	}
	return flow.Issued{Access: r.Access.Reveal(), Refresh: r.Refresh, Expiry: r.Expiry, At: r.Refreshed}, true
}

// reread returns what may be good in the place of a refresh token that is refused, zero if
// nothing: the spare one, or the one that the store has now.
func (s *Source) reread() account.Secret {
	s.mu.Lock()
	spare := s.record.Spare
	s.mu.Unlock()
	if s.m.cfg.Store == nil || !spare.IsZero() {
		return spare
	}
	r, _, err := s.m.cfg.Store.Load(s.chain)
	if err != nil {
		s.m.metrics.StoreErrors.Inc()
		return account.Secret{}
	}
	return r.Refresh
}

// shares reports whether other processes refresh the account's chain too.
func (m *Manager) shares(a *account.Account) bool {
	return m.cfg.Share != nil && a.TokenFlow() == account.FlowRefreshToken
}

// nextGeneration numbers the next record. Called with mu.
func (s *Source) nextGeneration() uint64 {
	if !s.m.shares(s.account.Load()) {
		return 0
	}
	return s.record.Generation + 1
}

// keep saves what a refresh brought before any caller gets it. After a failure the
// tokens live on in memory, AccountState.Unsaved is set, and savePending repeats the
// save.
func (s *Source) keep(got flow.Issued, rotated bool) {
	now := time.Now()
	s.mu.Lock()
	r := s.record
	r.noteEnd(got.RefreshEnds.Round(0), now, rotated)
	r.Access, r.Refreshed, r.Expiry = account.NewSecret(got.Access), now, got.Expiry.Round(0)
	r.Credentials = s.fingerprint
	r.Generation, r.Spare = s.nextGeneration(), account.Secret{}
	s.untold = r.Generation > 0
	if rotated {
		r.Refresh, r.Rotated = got.Refresh, now
	}
	if r.Seen.IsZero() {
		r.Seen = now
	}
	s.record, s.loaded = r, true
	s.mu.Unlock()
	s.save(r)
}

// keepRefresh saves a refresh token that came without a usable access token: the
// provider has rotated to it all the same.
func (s *Source) keepRefresh(refresh account.Secret) {
	now := time.Now()
	s.mu.Lock()
	s.record.Refresh, s.record.Rotated, s.loaded = refresh, now, true
	s.record.RefreshEnds, s.record.RefreshRolls = time.Time{}, false
	s.record.Generation = s.nextGeneration()
	s.untold = s.record.Generation > 0
	if s.record.Seen.IsZero() {
		s.record.Seen = now
	}
	r := s.record
	s.mu.Unlock()
	s.save(r)
}

// save writes r to the store, unless that would cost the tokens of another chain.
func (s *Source) save(r Record) {
	if s.m.cfg.Store == nil || s.superseded() {
		return
	}
	if err := s.m.cfg.Store.Save(s.chain, r); err != nil {
		s.m.metrics.StoreErrors.Inc()
		s.m.log.Error("tokens cannot be saved; it is tried again every few seconds, and a rotated refresh token will be lost on exit",
			zap.String("account", s.id), zap.Error(err))
		s.m.saveLater()
	}
}

// superseded reports whether the account has other credentials now, and tokens by them: a
// refresh that began before came late.
func (s *Source) superseded() bool {
	s.mu.Lock()
	retired := s.retired
	s.mu.Unlock()
	v, ok := s.m.sources.Load(s.id)
	if !retired || !ok {
		return false
	}
	now := v.(*Source)
	now.mu.Lock()
	defer now.mu.Unlock()
	return now.chain != s.chain && !(now.record.Refreshed.IsZero() && now.record.Refresh.IsZero())
}

// recordIfKnown returns the record of the chain, of the source or as it is kept. It enters
// nothing into the store.
func (m *Manager) recordIfKnown(a *account.Account, s *Source) (r Record, known bool) {
	if s != nil {
		s.mu.Lock()
		r, known = s.record, s.loaded
		s.mu.Unlock()
	}
	if !known && m.cfg.Store != nil {
		var err error
		if r, known, err = m.cfg.Store.Load(ChainOf(a)); err != nil {
			m.metrics.StoreErrors.Inc()
			return Record{}, false
		}
	}
	return r, known
}

// saveInterval is the time between two tries to save what could not be saved.
const saveInterval = 5 * time.Second

// savePending tries to write what could not be written, every saveInterval until all is
// written or the manager closes.
func (m *Manager) savePending() {
	for m.rest(saveInterval) {
		untold := m.tellAgain()
		saved, _ := m.pending.SaveAll() // the failure was logged when it was the first
		if saved > 0 {
			m.log.Info("tokens that could not be saved are saved now", zap.Int("accounts", saved))
		}
		m.setMu.Lock()
		m.saving = m.pending.Len() > 0 || untold
		done := !m.saving
		m.setMu.Unlock()
		if done {
			return
		}
	}
}

// saveLater starts savePending, if it does not run.
func (m *Manager) saveLater() {
	m.setMu.Lock()
	start := !m.saving
	m.saving = true
	m.setMu.Unlock()
	if start {
		m.workers.Spawn(m.savePending)
	}
}

// saveAtEnd writes what could not be written, for the last time.
func (m *Manager) saveAtEnd() {
	if m.pending.Len() == 0 {
		return
	}
	if _, err := m.pending.SaveAll(); err != nil {
		m.log.Error("tokens cannot be saved: refresh tokens that providers replaced are lost, and their accounts may have to be authorized again",
			zap.Int("accounts", m.pending.Len()), zap.Error(err))
	}
}

// tellAgain has workers publish what could not be published, and reports whether there is
// anything.
func (m *Manager) tellAgain() (untold bool) {
	m.sources.Range(func(_, v any) bool {
		s := v.(*Source)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.untold && !s.retired {
			untold = true
			if s.call == nil {
				s.begin(&call{Task: workers.Task{Early: true}, quiet: true, asked: time.Now()})
			}
		}
		return true
	})
	return untold
}

// rest waits for d. False: the manager closes.
func (m *Manager) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-m.quit:
		return false
	}
}
