package oauth

import (
	"xoauth2-proxy/oauth/internal/circuit"
)

// Release forgets why an account was refused for good, because an operator has
// done what the refusal asks for. The account, the mailboxes that share its token,
// and its client are asked for again at their next use. Times that an endpoint
// asked to wait for are kept.
func (m *Manager) Release(accountID string) {
	m.sources.Range(func(_, v any) bool {
		s := v.(*Source)
		if s.id == accountID || s.parent != nil && s.parent.id == accountID {
			s.release()
		}
		return true
	})
	if snap := m.accounts.Load(); snap != nil {
		if a, ok := snap.ByID(accountID); ok {
			m.clients.Release(circuit.Key(a))
		}
	}
}

// release forgets a refusal.
func (s *Source) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil && (s.failure.Permanent() || s.failure.Class == ClassTokenRefused) {
		s.failure, s.refusals, s.refusedSeq = nil, 0, 0
		s.kicked.Store(false)
	}
}
