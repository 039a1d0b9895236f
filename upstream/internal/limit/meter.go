package limit

import (
	"math"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/upstream/internal/lease"
)

// Kind names a limit on what an account does in a span of time.
type Kind uint8

// The limits. The first ones are those of package share.
const (
	MessagesPerMinute = Kind(share.MessagesPerMinute)
	MessagesPerHour   = Kind(share.MessagesPerHour)
	MessagesPerDay    = Kind(share.MessagesPerDay)
	RecipientsPerDay  = Kind(share.RecipientsPerDay)
	LoginsPerMinute   = Kind(share.LoginsPerMinute)
	// TenantRecipientsPerDay is no limit of one account: package tenant keeps it.
	TenantRecipientsPerDay = Kind(share.NumKinds)
	NumKinds               = TenantRecipientsPerDay + 1
)

var (
	labels = [NumKinds]string{"messages_minute", "messages_hour", "messages_day", "recipients_day", "logins_minute", "tenant_recipients_day"}
	names  = [NumKinds]string{"messages a minute", "messages an hour", "messages a day", "recipients a day", "logins a minute", "external recipients a day"}
)

// String names the limit for replies and the log.
func (k Kind) String() string { return names[k] }

// Label names the limit for the metrics.
func (k Kind) Label() string { return labels[k] }

// OfDay reports whether the limit is for a day. The others have a place free soon.
func (k Kind) OfDay() bool {
	return k == MessagesPerDay || k == RecipientsPerDay || k == TenantRecipientsPerDay
}

const hoursOfDay = 24

// Of returns a limit of an account on messages, recipients or logins; 0: there is none.
func (k Kind) Of(l *account.Limits) int {
	return [...]int{l.MessagesPerMinute, l.MessagesPerHour, l.MessagesPerDay, l.RecipientsPerDay, l.LoginsPerMinute}[k]
}

// Meter counts the messages and recipients of one mailbox at a provider, whatever accounts
// send them. Each account compares the counts with its own limits. One goroutine uses a
// meter, except for TakeRecipient.
//
// A message takes its place when it gets a connection. It counts from the end of its
// transaction on if the provider accepted it or may have; else the place is free
// again. The provider counts at some moment between the two, so it never counts more
// than the limit in any minute, hour or day. Where it counts what it refused, that counts
// as what it accepted.
type Meter struct {
	used    [RecipientsPerDay]*Window // messages in a minute, hour, day; nil: nothing asks for it
	rcpts   *Window
	running int // messages that have a place and no outcome yet
	// taken is the number of recipients that count or have a place. It is changed by
	// any goroutine.
	taken atomic.Int64
	// hours are the numbers that the newest slots of a day have on disk, by slot.
	hours  [hoursOfDay + 1]int64
	hourOf func(now time.Time) int64 // the function, but for tests
	// lease has the permits that stand beside the places; nil: no other process counts.
	lease *lease.Lease
}

// Metered reports whether an account needs a meter.
func Metered(l *account.Limits) bool {
	return l.MessagesPerMinute > 0 || l.MessagesPerHour > 0 || l.MessagesPerDay > 0 || l.RecipientsPerDay > 0
}

// NewMeter returns an empty meter.
func NewMeter(now time.Time) *Meter {
	return newMeter(now, hourOf)
}

func newMeter(now time.Time, hourOf func(time.Time) int64) *Meter {
	m := &Meter{rcpts: NewWindow(hoursOfDay*time.Hour, hoursOfDay), hourOf: hourOf}
	m.used[MessagesPerDay] = NewWindow(hoursOfDay*time.Hour, hoursOfDay)
	m.Advance(now)
	for age := range int64(len(m.hours)) {
		*m.hour(age) = m.hourOf(now) - age
	}
	return m
}

// Lease has the permits; nil: there are none to have.
func (m *Meter) Lease() *lease.Lease { return m.lease }

// Full reports whether no more recipients of an account with these limits get a place,
// without regard to what other processes count. It may be called on any goroutine.
func (m *Meter) Full(l *account.Limits) bool { return m.recipientsLeft(l) <= 0 }

// Share has a message need the permits of l, too, for a place.
func (m *Meter) Share(l *lease.Lease) { m.lease = l }

// hourOf is the number of an hour on disk: by the clock, since the Unix epoch.
func hourOf(now time.Time) int64 { return now.Unix() / int64(time.Hour/time.Second) }

// hour is the number on disk of the day's slot of age slots ago.
func (m *Meter) hour(age int64) *int64 {
	return &m.hours[(m.rcpts.last-age)%int64(len(m.hours))]
}

// Adopt has the meter count for limits, too.
func (m *Meter) Adopt(l *account.Limits, now time.Time) {
	for kind, span := range [...]time.Duration{MessagesPerMinute: time.Minute, MessagesPerHour: time.Hour} {
		if Kind(kind).Of(l) > 0 && m.used[kind] == nil {
			m.used[kind] = NewWindow(span, 60)
		}
	}
	m.Advance(now)
}

// Advance drops the counts that are too old.
func (m *Meter) Advance(now time.Time) {
	for _, w := range m.used {
		if w != nil {
			w.Advance(now)
		}
	}
	before, slot := m.rcpts.sum, m.rcpts.last
	m.rcpts.Advance(now)
	if m.rcpts.sum != before {
		m.taken.Add(int64(m.rcpts.sum - before))
	}
	for age := range min(m.rcpts.last-slot, int64(len(m.hours))) {
		*m.hour(age) = m.hourOf(now) - age
	}
}

// Merge counts what another meter counts, too: an account that it has counted for sends
// from now on from the mailbox of this one.
func (m *Meter) Merge(other *Meter, now time.Time) {
	m.Advance(now)
	other.Advance(now)
	for kind, w := range other.used {
		if w == nil {
			continue
		}
		if m.used[kind] == nil {
			m.used[kind] = NewWindow(w.width*time.Duration(len(w.slots)-1), len(w.slots)-1)
			m.used[kind].Advance(now)
		}
		m.used[kind].Merge(w)
	}
	m.rcpts.Merge(other.rcpts)
	m.taken.Add(int64(other.rcpts.sum))
}

// recipientsLeft is how many more recipients an account may have.
func (m *Meter) recipientsLeft(l *account.Limits) int {
	if l.RecipientsPerDay <= 0 {
		return math.MaxInt32
	}
	return l.RecipientsPerDay - int(m.taken.Load())
}

// Room returns the number of messages of an account with these limits that can get a place
// now. The meter must have been advanced.
func (m *Meter) Room(l *account.Limits) int { return min(m.Own(l), m.lease.Room()) }

// Own is Room without regard to what other processes count.
func (m *Meter) Own(l *account.Limits) int {
	room := max(0, m.recipientsLeft(l))
	for kind, w := range m.used {
		if limit := Kind(kind).Of(l); limit > 0 {
			room = min(room, limit-w.sum-m.running)
		}
	}
	return room
}

// Wait returns when n messages of an account with these limits can get a place, as far as
// that is known, and the limit that they wait for the longest; ok is false if no limit keeps
// them waiting.
func (m *Meter) Wait(l *account.Limits, n int) (kind Kind, until time.Time, ok bool) {
	later := func(k Kind, w *Window, missing int) {
		if missing <= 0 {
			return
		}
		if t := w.Dropped(missing); !ok || t.After(until) {
			kind, until, ok = k, t, true
		}
	}
	for k, w := range m.used {
		if limit := Kind(k).Of(l); limit > 0 {
			later(Kind(k), w, n-(limit-w.sum-m.running))
		}
	}
	later(RecipientsPerDay, m.rcpts, n-m.recipientsLeft(l))
	if k, t, none := m.lease.Wait(n); none && (!ok || t.After(until)) {
		kind, until, ok = Kind(k), t, true
	}
	return kind, until, ok
}

// Used returns how much is used of a limit on messages or recipients, places of messages
// under way included; ok is false if the meter does not count for it.
func (m *Meter) Used(kind Kind) (n int, ok bool) {
	if kind == RecipientsPerDay {
		return int(m.taken.Load()), true
	}
	w := m.used[kind]
	if w == nil {
		return 0, false
	}
	return w.sum + m.running, true
}

// Starts reports whether a message of an account with these limits, with so many recipients,
// can get a place now. The meter must have been advanced.
func (m *Meter) Starts(l *account.Limits, recipients int) bool {
	return m.Room(l) > 0 && m.lease.Covers(recipients)
}

// Take gives a place to a message of an account with these limits, and returns the number of
// recipients that have one: the first, for which Starts must have found one. With permits they
// all have one, as far as there are some; 0: the permits have gone in the meantime.
func (m *Meter) Take(l *account.Limits, recipients int) (placed int) {
	if !m.lease.Take() {
		return 0
	}
	m.running++
	m.taken.Add(1)
	for placed = 1; m.lease != nil && placed < recipients && m.TakeRecipient(l); placed++ {
	}
	return placed
}

// TakeRecipient gives a place to one more recipient of a message of an account with these
// limits; false if none is free. It may be called on any goroutine.
func (m *Meter) TakeRecipient(l *account.Limits) bool {
	if n := m.taken.Add(1); l.RecipientsPerDay > 0 && n > int64(l.RecipientsPerDay) || !m.lease.TakeRecipient() {
		m.taken.Add(-1)
		return false
	}
	return true
}

// Settle ends a message that has places for taken recipients. The provider counts it for
// counted of them; 0: it does not count the message.
func (m *Meter) Settle(now time.Time, taken, counted int) {
	m.Advance(now)
	m.running--
	m.taken.Add(int64(counted - taken))
	m.lease.Settle(taken, counted)
	if counted == 0 {
		return
	}
	for _, w := range m.used {
		if w != nil {
			w.Add(1)
		}
	}
	m.rcpts.Add(counted)
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
// since the Unix epoch, by the clock. The next hour counts as this one: the clock was set
// back.
func (m *Meter) Restore(hour int64, messages, recipients uint32) {
	age := *m.hour(0) - hour
	if age == -1 {
		age = 0
	}
	before := m.rcpts.sum
	m.used[MessagesPerDay].addAt(age, int(messages))
	m.rcpts.addAt(age, int(recipients))
	m.taken.Add(int64(m.rcpts.sum - before))
}

// Clear forgets what is counted. Messages that have a place will count.
func (m *Meter) Clear() {
	m.taken.Add(int64(-m.rcpts.sum))
	for _, w := range append(m.used[:len(m.used):len(m.used)], m.rcpts) {
		if w != nil {
			clear(w.slots)
			w.sum = 0
		}
	}
}

// Hours calls hour with the counts of the hours, as they are to be on disk: after a change
// of the clock several slots may have one number. Unless all are wanted, it passes over all
// but the newest two, and those of them without a count.
func (m *Meter) Hours(all bool, hour func(n int64, messages, recipients uint32)) {
	newest := int64(2)
	if all {
		newest = int64(len(m.hours))
	}
	for age := range newest {
		n := *m.hour(age)
		var messages, recipients uint32
		for a := range int64(len(m.hours)) {
			if *m.hour(a) == n {
				messages += m.used[MessagesPerDay].at(a)
				recipients += m.rcpts.at(a)
			}
		}
		if all || messages+recipients > 0 {
			hour(n, messages, recipients)
		}
	}
}
