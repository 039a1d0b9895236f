package mailbox

import (
	"math/rand/v2"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// mostInAnySpan is the plain way: each span that begins with a message.
func mostInAnySpan(all []count, span time.Duration) (messages, recipients int) {
	for i := range all {
		m, r := 0, 0
		for _, c := range all[i:] {
			if c.at.Sub(all[i].at) < span {
				m, r = m+1, r+c.n
			}
		}
		messages, recipients = max(messages, m), max(recipients, r)
	}
	return messages, recipients
}

// TestSpanPeaks compares with the plain way, for random times, some of which are equal or a
// span apart.
func TestSpanPeaks(t *testing.T) {
	spans := []wait.Duration{wait.Duration(time.Second), wait.Duration(time.Minute)}
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		m := newMailbox(Account{Email: "a@b.test"}, spans)
		at := time.Unix(1000, 0)
		var all []count
		steps := []time.Duration{0, time.Nanosecond, time.Second - 1, time.Second, 20 * time.Second, time.Minute, 10 * time.Millisecond}
		for range 200 {
			at = at.Add(steps[random.IntN(len(steps))])
			all = append(all, count{at, 1 + random.IntN(5)})
			m.Accepted(all[len(all)-1].n, at)
		}
		for i, got := range m.Peaks().Spans {
			messages, recipients := mostInAnySpan(all, time.Duration(spans[i]))
			if got.Messages != messages || got.Recipients != recipients {
				t.Errorf("seed %d, span %v: %d messages and %d recipients, want %d and %d",
					seed, time.Duration(spans[i]), got.Messages, got.Recipients, messages, recipients)
			}
		}
	}
}

// TestPeaksReset: a reset forgets the most, and not what is there.
func TestPeaksReset(t *testing.T) {
	m := newMailbox(Account{Email: "a@b.test"}, []wait.Duration{wait.Duration(time.Minute)})
	t0 := time.Unix(1000, 0)
	for conn := range uint64(3) {
		m.Login(conn, &Limits{Connections: 1}, false, t0.Add(time.Duration(conn)*time.Second))
	}
	m.Logout(0)
	for i := range 4 {
		m.Accepted(2, t0.Add(time.Duration(10*i)*time.Second))
	}
	got := m.Peaks()
	if got.Account != "a@b.test" || got.Connections != 3 || !got.ConnectionsAt.Equal(t0.Add(2*time.Second)) ||
		got.Spans[0].Messages != 4 || got.Spans[0].Recipients != 8 || !got.Spans[0].MessagesAt.Equal(t0.Add(30*time.Second)) {
		t.Errorf("%+v", got)
	}
	if st := m.Stats(); st.Messages != 4 || st.Recipients != 8 || st.LimitRefusals != 0 {
		t.Errorf("%+v", st)
	}
	m.ResetPeaks(t0.Add(65 * time.Second)) // the first message has left the minute
	if got := m.Peaks(); got.Connections != 2 || got.Spans[0].Messages != 3 || got.Spans[0].Recipients != 6 {
		t.Errorf("after the reset: %+v", got)
	}
	m.Logout(1)
	m.Logout(2)
	m.ResetPeaks(t0.Add(200 * time.Second))
	if got := m.Peaks(); got.Connections != 0 || !got.ConnectionsAt.IsZero() || got.Spans[0].Messages != 0 || got.Spans[0].Recipients != 0 {
		t.Errorf("after another reset: %+v", got)
	}
}
