package upstream

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// limitKind is a limit on the use of an account in some time.
type limitKind uint8

const (
	limitMinute limitKind = iota
	limitHour
	limitDay
	limitRecipients
	limitLogins
	numLimits
)

// limitLabels are for the metrics, limitNames for replies and the log.
var (
	limitLabels = [numLimits]string{"messages_minute", "messages_hour", "messages_day", "recipients_day", "logins_minute"}
	limitNames  = [numLimits]string{"messages a minute", "messages an hour", "messages a day", "recipients a day", "logins a minute"}
)

const (
	hoursOfDay = 24
	// unlimited stands for the number of recipients that are left when there
	// is no limit.
	unlimited = math.MaxInt64 / 4
)

// meter counts the messages and recipients of one account against its limits.
// It belongs to the shard, but for left.
//
// A message takes its place when a worker gets it, and counts from the end of
// its transaction on, if the provider accepted it or may have; else the place is
// given back. So the provider, which counts somewhere between the two, never
// counts more than the limit in any minute, hour or day.
type meter struct {
	max     [limitRecipients]int // messages in a minute, hour, day; 0: no limit
	used    [limitRecipients]*window
	rcpts   *window
	maxRcpt int
	running int // messages that have a place and no outcome
	changed bool
	// left is how many recipients may be taken yet. Workers take those of
	// opened transactions, one by one.
	left atomic.Int64
}

// metered reports whether an account needs a meter.
func metered(l *account.Limits) bool {
	return l.MessagesPerMinute > 0 || l.MessagesPerHour > 0 || l.MessagesPerDay > 0 || l.RecipientsPerDay > 0
}

// newMeter returns a meter without limits, on which nothing is counted.
func newMeter(now time.Time) *meter {
	m := &meter{rcpts: newWindow(hoursOfDay*time.Hour, hoursOfDay)}
	m.used[limitDay] = newWindow(hoursOfDay*time.Hour, hoursOfDay)
	m.left.Store(unlimited)
	m.advance(now)
	return m
}

// adopt puts limits in force. What was counted stays.
func (m *meter) adopt(l *account.Limits, now time.Time) {
	m.max = [...]int{l.MessagesPerMinute, l.MessagesPerHour, l.MessagesPerDay}
	for kind, span := range [...]time.Duration{limitMinute: time.Minute, limitHour: time.Hour} {
		if m.max[kind] > 0 && m.used[kind] == nil {
			m.used[kind] = newWindow(span, 60)
		}
	}
	m.advance(now)
	m.left.Add(recipientRoom(l.RecipientsPerDay) - recipientRoom(m.maxRcpt))
	m.maxRcpt = l.RecipientsPerDay
}

func recipientRoom(limit int) int64 {
	if limit <= 0 {
		return unlimited
	}
	return int64(limit)
}

// advance forgets what is too old to count.
func (m *meter) advance(now time.Time) {
	for _, w := range m.used {
		if w != nil {
			w.advance(now)
		}
	}
	before := m.rcpts.sum
	if m.rcpts.advance(now); m.rcpts.sum != before {
		m.left.Add(int64(before - m.rcpts.sum))
	}
}

// room returns how many messages may be taken now; the meter has been advanced.
func (m *meter) room() int {
	room := max(0, int(min(m.left.Load(), math.MaxInt32)))
	for kind, limit := range m.max {
		if limit > 0 {
			room = min(room, limit-m.used[kind].sum-m.running)
		}
	}
	return room
}

// wait returns when there will be room for n messages, as far as that is known,
// and the limit that stands in the way longest; ok is false if none does.
func (m *meter) wait(n int) (kind limitKind, until time.Time, ok bool) {
	later := func(k limitKind, w *window, missing int) {
		if missing <= 0 {
			return
		}
		if t := w.dropped(missing); !ok || t.After(until) {
			kind, until, ok = k, t, true
		}
	}
	for k, limit := range m.max {
		if limit > 0 {
			later(limitKind(k), m.used[k], n-(limit-m.used[k].sum-m.running))
		}
	}
	later(limitRecipients, m.rcpts, n-int(min(m.left.Load(), math.MaxInt32)))
	return kind, until, ok
}

// limit returns the number of a limit.
func (m *meter) limit(kind limitKind) int {
	if kind == limitRecipients {
		return m.maxRcpt
	}
	return m.max[kind]
}

// take gives a place to a message with one recipient; there is room.
func (m *meter) take() {
	m.running++
	m.left.Add(-1)
}

// takeRecipient gives a place to one more recipient, if there is one. It is for
// workers.
func (m *meter) takeRecipient() bool {
	if m.left.Add(-1) < 0 {
		m.left.Add(1)
		return false
	}
	return true
}

// settle ends a message that had taken places for some recipients, of which
// the provider has accepted some, or none.
func (m *meter) settle(now time.Time, taken, accepted int) {
	m.advance(now)
	m.running--
	m.left.Add(int64(taken - accepted))
	if accepted == 0 {
		return
	}
	for _, w := range m.used {
		if w != nil {
			w.add(1)
		}
	}
	m.rcpts.add(accepted)
	m.changed = true
}

// idle reports whether nothing counts any more.
func (m *meter) idle() bool {
	for _, w := range m.used {
		if w != nil && w.sum > 0 {
			return false
		}
	}
	return m.running == 0 && m.rcpts.sum == 0
}

// limitError refuses a message for a limit of ours.
type limitError struct {
	kind  limitKind
	limit int
	after time.Duration // when to come back
}

func (e *limitError) Error() string {
	return fmt.Sprintf("%d %s for this account; try again in %d s", e.limit, limitNames[e.kind], seconds(e.after))
}

// reply is 451 for limits that free a place soon, 452 for those of the day.
func (e *limitError) reply() codec.Reply {
	r := codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 7, 1}, Text: "Limit of " + e.Error()}
	if e.kind == limitDay || e.kind == limitRecipients {
		r.Code = 452
	}
	return r
}

// seconds rounds up, to at least one.
func seconds(d time.Duration) int64 { return max(1, int64((d+time.Second-1)/time.Second)) }
