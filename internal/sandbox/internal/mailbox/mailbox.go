package mailbox

import (
	"slices"
	"sync"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Mailbox is one account at work. Its methods may be called from any goroutine.
type Mailbox struct {
	Account
	changed wait.Notifier // of the counters
	tenant  *tenant       // nil: none has a limit

	mu          sync.Mutex // guards what follows
	connections []uint64   // authenticated and open, by number, oldest first
	minute, day window     // messages
	recipients  window     // of a day
	logins      window     // of a minute
	stats       Stats
	peaks       Peaks     // of connections
	spans       []sliding // of messages
}

func newMailbox(a Account, spans []wait.Duration) *Mailbox {
	minute, day := window{span: time.Minute}, window{span: 24 * time.Hour}
	m := &Mailbox{Account: a, minute: minute, day: day, recipients: day, logins: minute}
	for _, span := range spans {
		m.spans = append(m.spans, sliding{peak: SpanPeak{Span: span}})
	}
	return m
}

// Stats are the counters of one account.
type Stats struct {
	Account        string `json:"account"`
	Logins         int64  `json:"logins"`
	LoginFailures  int64  `json:"login_failures"`
	Open           int    `json:"open"`     // authenticated connections now
	MaxOpen        int    `json:"max_open"` // the most at one time
	Messages       int64  `json:"messages"`
	Recipients     int64  `json:"recipients"`
	LimitRefusals  int64  `json:"limit_refusals"` // replies that say that a limit was reached
	RateDelays     int64  `json:"rate_delays"`    // messages made to wait by the rate per minute
	TokenRequests  int64  `json:"token_requests"`
	TokensIssued   int64  `json:"tokens_issued"`
	TokenRefusals  int64  `json:"token_refusals"`
	TokenRotations int64  `json:"token_rotations"`
}

// Count changes the counters. f must not use the mailbox.
func (m *Mailbox) Count(f func(*Stats)) {
	m.mu.Lock()
	f(&m.stats)
	m.mu.Unlock()
	m.changed.Wake()
}

// Stats returns the counters.
func (m *Mailbox) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.stats
	st.Account, st.Open = m.Email, len(m.connections)
	return st
}

// Login counts an authenticated connection. It returns the name of the limit that
// refuses it, or "". The limit on connections counts here only if atLogin is set.
func (m *Mailbox) Login(conn uint64, l *Limits, atLogin bool, now time.Time) (limit string) {
	defer m.changed.Wake()
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.LoginsPerMinute > 0 {
		if m.logins.sum(now) >= l.LoginsPerMinute {
			m.stats.LimitRefusals++
			return LimitLogins
		}
		m.logins.add(now, 1)
	}
	if atLogin && l.Connections > 0 && len(m.connections) >= l.Connections {
		m.stats.LimitRefusals++
		return LimitConnections
	}
	m.connections = append(m.connections, conn)
	m.stats.Logins++
	m.stats.MaxOpen = max(m.stats.MaxOpen, len(m.connections))
	if n := len(m.connections); n > m.peaks.Connections {
		m.peaks.Connections, m.peaks.ConnectionsAt = n, now
	}
	return ""
}

// Logout ends the login of a connection. It may be called more than once.
func (m *Mailbox) Logout(conn uint64) {
	m.mu.Lock()
	m.connections = slices.DeleteFunc(m.connections, func(c uint64) bool { return c == conn })
	m.mu.Unlock()
	m.changed.Wake()
}

// MaySend reports whether the connection is among the oldest that the limit on
// connections allows, for a provider that asks this at DATA.
func (m *Mailbox) MaySend(conn uint64, l *Limits) bool {
	if l.Connections <= 0 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.connections, conn); i >= 0 && i < l.Connections {
		return true
	}
	m.stats.LimitRefusals++
	return false
}

// Admit counts a message with n recipients against the limits. It returns the
// name of the limit that refuses the message, or "". With delay, a message beyond
// the rate per minute is not refused: Admit returns how long to wait before the
// next call.
func (m *Mailbox) Admit(n int, l *Limits, delay bool, now time.Time) (limit string, wait time.Duration) {
	defer m.changed.Wake()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case l.MessagesPerDay > 0 && m.day.sum(now) >= l.MessagesPerDay:
		limit = LimitMessages
	case l.RecipientsPerDay > 0 && m.recipients.sum(now)+n > l.RecipientsPerDay:
		limit = LimitRecipients
	case l.MessagesPerMinute > 0 && m.minute.sum(now) >= l.MessagesPerMinute:
		if delay {
			m.stats.RateDelays++
			return "", m.minute.next(now)
		}
		limit = LimitRate
	}
	if limit != "" {
		m.stats.LimitRefusals++
		return limit, 0
	}
	if l.MessagesPerMinute > 0 {
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
