package sandbox

import (
	"slices"
	"sync"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// mailbox is one account at work.
type mailbox struct {
	Account
	changed wait.Notifier // of the counters

	mu         sync.Mutex // guards what follows
	removed    bool
	sessions   []*session // authenticated and not yet closed, oldest first
	minute     *window    // messages
	day        *window    // messages
	recipients *window    // of a day
	logins     *window    // of a minute
	stats      AccountStats
}

// AccountStats are the counters of one account.
type AccountStats struct {
	Account        string `json:"account"`
	Logins         int64  `json:"logins"`
	LoginFailures  int64  `json:"login_failures"`
	Open           int    `json:"open"`     // authenticated connections now
	MaxOpen        int    `json:"max_open"` // most of them at one time
	Messages       int64  `json:"messages"`
	Recipients     int64  `json:"recipients"`
	LimitRefusals  int64  `json:"limit_refusals"` // replies that said that a limit was reached
	RateDelays     int64  `json:"rate_delays"`    // messages made to wait by the rate per minute
	TokenRequests  int64  `json:"token_requests"`
	TokensIssued   int64  `json:"tokens_issued"`
	TokenRefusals  int64  `json:"token_refusals"`
	TokenRotations int64  `json:"token_rotations"`
}

const day = 24 * time.Hour

// roll returns the window at *w, made on first use.
func roll(w **window, span time.Duration) *window {
	if *w == nil {
		*w = &window{span: span}
	}
	return *w
}

func (m *mailbox) count(f func(*AccountStats)) {
	m.mu.Lock()
	f(&m.stats)
	m.mu.Unlock()
	m.changed.Wake()
}

// accepted counts a message with n recipients.
func (m *mailbox) accepted(n int) {
	m.mu.Lock()
	m.stats.Messages++
	m.stats.Recipients += int64(n)
	m.mu.Unlock()
	m.changed.Wake()
}

// login enters an authenticated session. A reply other than "" refuses it.
func (m *mailbox) login(s *session, now time.Time) (refusal string) {
	l, p := &s.ep.limits, s.ep.preset
	defer m.changed.Wake()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.removed {
		return p.badToken
	}
	if l.LoginsPerMinute > 0 {
		w := roll(&m.logins, time.Minute)
		if w.sum(now) >= l.LoginsPerMinute {
			m.stats.LimitRefusals++
			return p.tooManyLogins
		}
		w.add(now, 1)
	}
	if p.atLogin && l.Connections > 0 && len(m.sessions) >= l.Connections {
		m.stats.LimitRefusals++
		return p.tooManyConnections
	}
	m.sessions = append(m.sessions, s)
	m.stats.Logins++
	m.stats.MaxOpen = max(m.stats.MaxOpen, len(m.sessions))
	return ""
}

func (m *mailbox) logout(s *session) {
	m.mu.Lock()
	if i := slices.Index(m.sessions, s); i >= 0 {
		m.sessions = slices.Delete(m.sessions, i, i+1)
	}
	m.mu.Unlock()
	m.changed.Wake()
}

// maySend reports whether the session is among the oldest that the limit on
// connections allows, for a provider that asks this at DATA.
func (m *mailbox) maySend(s *session) bool {
	l := &s.ep.limits
	if s.ep.preset.atLogin || l.Connections <= 0 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.sessions, s); i >= 0 && i < l.Connections {
		return true
	}
	m.stats.LimitRefusals++
	return false
}

// admit counts a message with n recipients against the limits. It returns a
// refusal, or how long the message has to wait before it asks again.
func (m *mailbox) admit(s *session, n int, now time.Time) (refusal string, wait time.Duration) {
	l, p := &s.ep.limits, s.ep.preset
	defer m.changed.Wake()
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.MessagesPerDay > 0 && roll(&m.day, day).sum(now) >= l.MessagesPerDay {
		m.stats.LimitRefusals++
		return p.dailyMessages, 0
	}
	if l.RecipientsPerDay > 0 && roll(&m.recipients, day).sum(now)+n > l.RecipientsPerDay {
		m.stats.LimitRefusals++
		return p.dailyRecipients, 0
	}
	if l.MessagesPerMinute > 0 {
		if w := roll(&m.minute, time.Minute); w.sum(now) >= l.MessagesPerMinute {
			if p.delayOverRate {
				m.stats.RateDelays++
				return "", w.next(now)
			}
			m.stats.LimitRefusals++
			return "450 4.2.1 The user is sending mail too quickly. Please try again later.", 0
		}
		m.minute.add(now, 1)
	}
	if l.MessagesPerDay > 0 {
		m.day.add(now, 1)
	}
	if l.RecipientsPerDay > 0 {
		m.recipients.add(now, n)
	}
	return "", 0
}

// snapshot returns the counters.
func (m *mailbox) snapshot() AccountStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.stats
	st.Account, st.Open = m.Email, len(m.sessions)
	return st
}

// dismiss ends the sessions of a mailbox that was removed.
func (m *mailbox) dismiss() {
	m.mu.Lock()
	m.removed = true
	sessions := slices.Clone(m.sessions)
	m.mu.Unlock()
	for _, s := range sessions {
		s.raw.Close()
	}
}
