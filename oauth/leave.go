package oauth

import (
	"time"

	"xoauth2-proxy/oauth/internal/circuit"
)

// leaveGrace is how long the token of a removed account is kept for messages that
// its clients had begun: the longest time that such a message may take.
const leaveGrace = 10 * time.Minute

// leave ends the source of a removed account. It fetches no more tokens; callers
// that still have the account get its last token for leaveGrace. Called with the
// manager's setMu.
func (s *Source) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
	s.endTimer()
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
	s.endTimer()
}

// forgive forgets a permanent refusal because the configuration was read again. A
// refusal younger than circuit.RefusalRest stays: an operator who changes one account of
// many must not have all dead ones asked for again.
func (s *Source) forgive(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil && s.failure.Permanent() && now.Sub(s.failedAt) >= circuit.RefusalRest {
		s.failure = nil
		s.kicked.Store(false)
	}
}

// stopTimer ends early refreshes when the manager closes.
func (s *Source) stopTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endTimer()
}

// endTimer stops background refreshes. Called with mu.
func (s *Source) endTimer() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// The mailboxes of catch-all accounts have sources too: as many as there are names.
// Unused ones are forgotten. The next use brings them back whole, since no flow that
// opens every mailbox of a domain has refresh tokens.

const (
	// mailboxRound is how often forgetMailboxes looks through the sources.
	mailboxRound = time.Minute
	// mailboxIdle is how long the source of a mailbox is kept without a caller;
	// mailboxTokenIdle, if it has a valid access token of its own.
	mailboxIdle      = 10 * time.Minute
	mailboxTokenIdle = time.Hour
)

// forgetMailboxes forgets unused mailboxes, until Close.
func (m *Manager) forgetMailboxes() {
	for m.rest(mailboxRound) {
		if m.countMailboxes() > 0 {
			m.forgetUnused(time.Now())
		}
	}
}

func (m *Manager) forgetUnused(now time.Time) {
	m.sources.Range(func(_, v any) bool {
		if s := v.(*Source); s.base != "" && s.unused(now) {
			m.forget(s, now)
		}
		return true
	})
}

// forget removes s and ends it, unless it has just come into use: see claim.
func (m *Manager) forget(s *Source, now time.Time) {
	m.setMu.Lock()
	defer m.setMu.Unlock()
	s.going.Store(true)
	if s.unused(now) && m.remove(s) {
		s.retire()
		return
	}
	s.going.Store(false)
}

// claim notes a use of a mailbox's source, and reports whether the caller may keep
// the source. If not, the source is about to be forgotten, and the caller learns the
// end of that under the manager's setMu. Either forget sees the use, or claim sees
// forget.
func (s *Source) claim() bool {
	s.use(time.Now())
	return !s.going.Load()
}

// unused reports whether the source has been out of use for long enough to be
// forgotten, and has no refresh and no back-off.
func (s *Source) unused(now time.Time) bool {
	idle := now.Sub(time.Unix(s.used.Load(), 0))
	if idle < mailboxIdle {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.call != nil || s.failure != nil && now.Before(s.retryAt) {
		return false
	}
	t := s.token.Load()
	return s.parent != nil || t == nil || !t.valid(now) || idle >= mailboxTokenIdle
}
