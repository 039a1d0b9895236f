package mailbox

import (
	"time"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Peaks are the most that a mailbox had, since the start or the last reset. They limit
// nothing.
type Peaks struct {
	Account string `json:"account"`
	// Connections is the most authenticated connections at any instant, and ConnectionsAt
	// when it was first so.
	Connections   int       `json:"connections"`
	ConnectionsAt time.Time `json:"connections_at"`
	// Spans are in the order of the configuration.
	Spans []SpanPeak `json:"spans,omitempty"`
}

// SpanPeak is the most in any span of a length, wherever it begins: the numbers of accepted
// messages and of their recipients, each by itself, and when the last one of them came.
type SpanPeak struct {
	Span         wait.Duration `json:"span"`
	Messages     int           `json:"messages"`
	MessagesAt   time.Time     `json:"messages_at"`
	Recipients   int           `json:"recipients"`
	RecipientsAt time.Time     `json:"recipients_at"`
}

// sliding knows the messages of the span that ends with the last one, by their times. A
// most is always reached with a message, so it is exact for every span.
type sliding struct {
	peak       SpanPeak
	messages   []count // oldest first
	recipients int     // theirs
}

// add counts a message that comes at a time. Of two messages that come a span apart the first
// has left.
func (s *sliding) add(at time.Time, recipients int) {
	if n := len(s.messages); n > 0 && at.Before(s.messages[n-1].at) { // another session was faster
		at = s.messages[n-1].at
	}
	s.messages = append(s.messages, count{at, recipients})
	s.recipients += recipients
	s.leave(at)
	s.note(at)
}

// leave drops what is not in the span that ends at a time.
func (s *sliding) leave(at time.Time) {
	left := 0
	for left < len(s.messages) && at.Sub(s.messages[left].at) >= time.Duration(s.peak.Span) {
		s.recipients -= s.messages[left].n
		left++
	}
	s.messages = s.messages[left:]
}

func (s *sliding) note(at time.Time) {
	if n := len(s.messages); n > s.peak.Messages {
		s.peak.Messages, s.peak.MessagesAt = n, at
	}
	if s.recipients > s.peak.Recipients {
		s.peak.Recipients, s.peak.RecipientsAt = s.recipients, at
	}
}

// reset forgets the most, but not what the span that ends now has.
func (s *sliding) reset(now time.Time) {
	s.peak = SpanPeak{Span: s.peak.Span}
	s.leave(now)
	s.note(now)
}

// Accepted counts a message that the provider has taken.
func (m *Mailbox) Accepted(recipients int, now time.Time) {
	m.mu.Lock()
	m.stats.Messages++
	m.stats.Recipients += int64(recipients)
	for i := range m.spans {
		m.spans[i].add(now, recipients)
	}
	m.mu.Unlock()
	m.changed.Wake()
}

// Peaks returns the most that the mailbox had.
func (m *Mailbox) Peaks() Peaks {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peaks
	p.Account = m.Email
	for i := range m.spans {
		p.Spans = append(p.Spans, m.spans[i].peak)
	}
	return p
}

// ResetPeaks forgets the most that the mailbox had. What it has now counts on.
func (m *Mailbox) ResetPeaks(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peaks = Peaks{Connections: len(m.connections)}
	if m.peaks.Connections > 0 {
		m.peaks.ConnectionsAt = now
	}
	for i := range m.spans {
		m.spans[i].reset(now)
	}
}

// WatchSpans has mailboxes that are added later count their messages over these spans.
func (d *Directory) WatchSpans(spans []wait.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spans = spans
}

// Peaks returns the most that each mailbox had, in the order in which they were added.
func (d *Directory) Peaks() []Peaks {
	boxes := d.Mailboxes()
	out := make([]Peaks, len(boxes))
	for i, m := range boxes {
		out[i] = m.Peaks()
	}
	return out
}

// ResetPeaks forgets the most of all mailboxes.
func (d *Directory) ResetPeaks(now time.Time) {
	for _, m := range d.Mailboxes() {
		m.ResetPeaks(now)
	}
}
