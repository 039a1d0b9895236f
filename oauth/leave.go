package oauth

import "time"

// leaveGrace is how long the token of a removed account is kept for the
// messages that its clients had begun: as long as the last of those may take.
const leaveGrace = 10 * time.Minute

// leave ends the source of a removed account. No token is fetched any more, and
// the one there is can be had for leaveGrace by whoever still has the account.
// Called with the manager's setMu.
func (s *Source) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(leaveGrace, func() { s.m.left(s) })
}

// left forgets a source that has left.
func (m *Manager) left(s *Source) {
	m.setMu.Lock()
	defer m.setMu.Unlock()
	if m.leaving[s.id] == s {
		delete(m.leaving, s.id)
	}
	s.retire()
}

// retire ends the source at once: the account has other credentials.
func (s *Source) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
	s.token.Store(nil)
	if s.timer != nil {
		s.timer.Stop()
	}
}

// stopTimer ends early refreshes when the manager closes.
func (s *Source) stopTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}
