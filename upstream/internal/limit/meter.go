package limit

import (
	"math"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/account"
)

// Kind names a limit on what an account does in a span of time.
type Kind uint8

const (
	MessagesPerMinute Kind = iota
	MessagesPerHour
	MessagesPerDay
	RecipientsPerDay
	LoginsPerMinute
	NumKinds
)

var (
	labels = [NumKinds]string{"messages_minute", "messages_hour", "messages_day", "recipients_day", "logins_minute"}
	names  = [NumKinds]string{"messages a minute", "messages an hour", "messages a day", "recipients a day", "logins a minute"}
)

// String names the limit for replies and the log.
func (k Kind) String() string { return names[k] }

// Label names the limit for the metrics.
func (k Kind) Label() string { return labels[k] }

// OfDay reports whether the limit is for a day. The others have a place free soon.
func (k Kind) OfDay() bool { return k == MessagesPerDay || k == RecipientsPerDay }

const (
	hoursOfDay = 24
	// unlimited is the number of recipients left where there is no limit.
	unlimited = math.MaxInt64 / 4
)

// Meter counts the messages and recipients of one account against its limits. One
// goroutine uses it, except for TakeRecipient.
//
// A message takes its place when it gets a connection. It counts from the end of its
// transaction on if the provider accepted it or may have; else the place is free
// again. The provider counts at some moment between the two, so it never counts more
// than the limit in any minute, hour or day.
type Meter struct {
	max     [RecipientsPerDay]int // messages in a minute, hour, day; 0: no limit
	used    [RecipientsPerDay]*Window
	rcpts   *Window
	maxRcpt int
	running int // messages that have a place and no outcome yet
	// left is the number of recipients that have no place yet and can get one. It is
	// changed by any goroutine.
	left atomic.Int64
}

// Metered reports whether an account needs a meter.
func Metered(l *account.Limits) bool {
	return l.MessagesPerMinute > 0 || l.MessagesPerHour > 0 || l.MessagesPerDay > 0 || l.RecipientsPerDay > 0
}

// NewMeter returns an empty meter without limits.
func NewMeter(now time.Time) *Meter {
	m := &Meter{rcpts: NewWindow(hoursOfDay*time.Hour, hoursOfDay)}
	m.used[MessagesPerDay] = NewWindow(hoursOfDay*time.Hour, hoursOfDay)
	m.left.Store(unlimited)
	m.Advance(now)
	return m
}

// Adopt puts limits in force. The counts stay.
func (m *Meter) Adopt(l *account.Limits, now time.Time) {
	m.max = [...]int{l.MessagesPerMinute, l.MessagesPerHour, l.MessagesPerDay}
	for kind, span := range [...]time.Duration{MessagesPerMinute: time.Minute, MessagesPerHour: time.Hour} {
		if m.max[kind] > 0 && m.used[kind] == nil {
			m.used[kind] = NewWindow(span, 60)
		}
	}
	m.Advance(now)
	m.left.Add(recipientRoom(l.RecipientsPerDay) - recipientRoom(m.maxRcpt))
	m.maxRcpt = l.RecipientsPerDay
}

func recipientRoom(limit int) int64 {
	if limit <= 0 {
		return unlimited
	}
	return int64(limit)
}

// Advance drops the counts that are too old.
func (m *Meter) Advance(now time.Time) {
	for _, w := range m.used {
		if w != nil {
			w.Advance(now)
		}
	}
	before := m.rcpts.sum
	if m.rcpts.Advance(now); m.rcpts.sum != before {
		m.left.Add(int64(before - m.rcpts.sum))
	}
}

// Room returns the number of messages that can get a place now. The meter must have
// been advanced.
func (m *Meter) Room() int {
	room := max(0, int(min(m.left.Load(), math.MaxInt32)))
	for kind, limit := range m.max {
		if limit > 0 {
			room = min(room, limit-m.used[kind].sum-m.running)
		}
	}
	return room
}

// Wait returns when n messages can get a place, as far as that is known, and the limit
// that they wait for the longest; ok is false if no limit keeps them waiting.
func (m *Meter) Wait(n int) (kind Kind, until time.Time, ok bool) {
	later := func(k Kind, w *Window, missing int) {
		if missing <= 0 {
			return
		}
		if t := w.Dropped(missing); !ok || t.After(until) {
			kind, until, ok = k, t, true
		}
	}
	for k, limit := range m.max {
		if limit > 0 {
			later(Kind(k), m.used[k], n-(limit-m.used[k].sum-m.running))
		}
	}
	later(RecipientsPerDay, m.rcpts, n-int(min(m.left.Load(), math.MaxInt32)))
	return kind, until, ok
}

// Limit returns a limit on messages or recipients; 0: there is none.
func (m *Meter) Limit(kind Kind) int {
	if kind == RecipientsPerDay {
		return m.maxRcpt
	}
	return m.max[kind]
}

// Used returns how much of a limit on messages or recipients is used, places of
// messages under way included; ok is false if the meter does not count for it.
func (m *Meter) Used(kind Kind) (n int, ok bool) {
	if kind == RecipientsPerDay {
		return int(recipientRoom(m.maxRcpt) - m.left.Load()), true
	}
	w := m.used[kind]
	if w == nil {
		return 0, false
	}
	return w.sum + m.running, true
}

// Take gives a place to a message with one recipient. Room must have found one.
func (m *Meter) Take() {
	m.running++
	m.left.Add(-1)
}

// TakeRecipient gives a place to one more recipient of a message; false if none is
// free. It may be called on any goroutine.
func (m *Meter) TakeRecipient() bool {
	if m.left.Add(-1) < 0 {
		m.left.Add(1)
		return false
	}
	return true
}

// Settle ends a message that has places for taken recipients. The provider accepted
// it for accepted of them, or may have; 0: it did not accept the message.
func (m *Meter) Settle(now time.Time, taken, accepted int) {
	m.Advance(now)
	m.running--
	m.left.Add(int64(taken - accepted))
	if accepted == 0 {
		return
	}
	for _, w := range m.used {
		if w != nil {
			w.Add(1)
		}
	}
	m.rcpts.Add(accepted)
}

// Idle reports whether the meter counts nothing and no message has a place.
func (m *Meter) Idle() bool {
	for _, w := range m.used {
		if w != nil && w.sum > 0 {
			return false
		}
	}
	return m.running == 0 && m.rcpts.sum == 0
}

// Restore adds the saved counts of an hour, unless that is too old. Hours are numbered
// since the Unix epoch.
func (m *Meter) Restore(hour int64, messages, recipients uint32) {
	before := m.rcpts.sum
	m.used[MessagesPerDay].restore(hour, int(messages))
	m.rcpts.restore(hour, int(recipients))
	m.left.Add(int64(before - m.rcpts.sum))
}

// Recent calls hour for the current hour and the one before: only those change. It
// skips an hour without a count.
func (m *Meter) Recent(hour func(n int64, messages, recipients uint32)) {
	for n := m.rcpts.last - 1; n <= m.rcpts.last; n++ {
		messages, recipients := m.used[MessagesPerDay].at(n), m.rcpts.at(n)
		if messages+recipients > 0 {
			hour(n, messages, recipients)
		}
	}
}
