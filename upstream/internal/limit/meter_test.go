package limit

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
)

// BenchmarkMeter is what the limits of an account add to a message.
func BenchmarkMeter(b *testing.B) {
	now := time.Now()
	m := NewMeter(now)
	l := &account.Limits{MessagesPerMinute: 1e9, MessagesPerHour: 1e9, MessagesPerDay: 1e9, RecipientsPerDay: 1e9}
	m.Adopt(l, now)
	b.ReportAllocs()
	for b.Loop() {
		m.Advance(now)
		if m.Room(l) > 0 {
			m.Take(l, 1)
		}
		m.Settle(now, 1, 1)
	}
}
