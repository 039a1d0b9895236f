package limit

import (
	"math"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/account"
)

// Kind is a limit on the use of an account in some time.
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

// OfDay reports whether the limit is one of a day: others free a place soon.
func (k Kind) OfDay() bool { return k == MessagesPerDay || k == RecipientsPerDay }

const (
	hoursOfDay = 24
	// unlimited stands for the number of recipients that are left when there
	// is no limit.
	unlimited = math.MaxInt64 / 4
)

// Meter counts the messages and recipients of one account against its limits.
// It belongs to the shard, but for left.
//
// A message takes its place when a worker gets it, and counts from the end of
// its transaction on, if the provider accepted it or may have; else the place is
// given back. So the provider, which counts somewhere between the two, never
// counts more than the limit in any minute, hour or day.
type Meter struct {
	max     [RecipientsPerDay]int // messages in a minute, hour, day; 0: no limit
	used    [RecipientsPerDay]*Window
	rcpts   *Window
	maxRcpt int
	running int // messages that have a place and no outcome
	// left is how many recipients may be taken yet. Workers take those of
	// opened transactions, one by one.
	left atomic.Int64
}

// Metered reports whether an account needs a meter.
func Metered(l *account.Limits) bool {
	return l.MessagesPerMinute > 0 || l.MessagesPerHour > 0 || l.MessagesPerDay > 0 || l.RecipientsPerDay > 0
}

// NewMeter returns a meter without limits, on which nothing is counted.
func NewMeter(now time.Time) *Meter {
	m := &Meter{rcpts: NewWindow(hoursOfDay*time.Hour, hoursOfDay)}
	m.used[MessagesPerDay] = NewWindow(hoursOfDay*time.Hour, hoursOfDay)
	m.left.Store(unlimited)
	m.Advance(now)
	return m
}

// Adopt puts limits in force. What was counted stays.
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

// Advance forgets what is too old to count.
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

// Room returns how many messages may be taken now; the meter has been advanced.
func (m *Meter) Room() int {
	room := max(0, int(min(m.left.Load(), math.MaxInt32)))
	for kind, limit := range m.max {
		if limit > 0 {
			room = min(room, limit-m.used[kind].sum-m.running)
		}
	}
	return room
}

// Wait returns when there will be room for n messages, as far as that is known,
// and the limit that stands in the way longest; ok is false if none does.
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

// Limit returns the number of a limit.
func (m *Meter) Limit(kind Kind) int {
	if kind == RecipientsPerDay {
		return m.maxRcpt
	}
	return m.max[kind]
}

// Used returns how much of a limit on messages or recipients is used; ok is false
// if nothing is counted for it.
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

// Take gives a place to a message with one recipient; there is room.
func (m *Meter) Take() {
	m.running++
	m.left.Add(-1)
}

// TakeRecipient gives a place to one more recipient, if there is one. It is for
// workers.
func (m *Meter) TakeRecipient() bool {
	if m.left.Add(-1) < 0 {
		m.left.Add(1)
		return false
	}
	return true
}

// Settle ends a message that had taken places for some recipients, of which
// the provider has accepted some, or none.
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

// Idle reports whether nothing counts any more.
func (m *Meter) Idle() bool {
	for _, w := range m.used {
		if w != nil && w.sum > 0 {
			return false
		}
	}
	return m.running == 0 && m.rcpts.sum == 0
}

// Restore counts what was kept of an hour of before, which is numbered since the
// Unix epoch, if it is of the last day.
func (m *Meter) Restore(hour int64, messages, recipients uint32) {
	before := m.rcpts.sum
	m.used[MessagesPerDay].restore(hour, int(messages))
	m.rcpts.restore(hour, int(recipients))
	m.left.Add(int64(before - m.rcpts.sum))
}

// Keep calls keep for the hours that can have changed in the last minutes and are
// not empty: the one that runs and the one before.
func (m *Meter) Keep(keep func(hour int64, messages, recipients uint32)) {
	for hour := m.rcpts.last - 1; hour <= m.rcpts.last; hour++ {
		messages, recipients := m.used[MessagesPerDay].at(hour), m.rcpts.at(hour)
		if messages+recipients > 0 {
			keep(hour, messages, recipients)
		}
	}
}
