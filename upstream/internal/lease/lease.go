// Package lease is the part that this process has in what several processes may use of a
// mailbox, or of a tenant, together. Package share says how it comes to that part.
//
// What the process counts by itself stays as it is; permits stand beside the counts. A message
// begins only with a place in the counts and with its permits, a connection only within the
// limits of its account and with a slot.
package lease

import (
	"math"
	"time"

	"xoauth2-proxy/internal/share"
)

// Lease is the part in one mailbox. A nil Lease shares nothing: it allows all. One goroutine at
// a time may use Limit, Restore, Want, Open, Report and Leave; the other methods are safe for
// concurrent use. None waits.
type Lease struct {
	box  share.Mailbox
	told told
}

// told is what the member knows already.
type told struct {
	slots            int
	permits, wants   [share.NumKinds]int
	have, busy, want int
}

// Join returns the part in what is under key; nil if p is nil. changed is called after it has
// changed, on any goroutine, and must not wait.
func Join(p share.Pool, key string, changed func()) *Lease {
	if p == nil {
		return nil
	}
	return &Lease{box: p.Join(key, changed)}
}

// Limit says what all processes together may use; 0: there is no limit.
func (l *Lease) Limit(slots int, permits [share.NumKinds]int) {
	if l != nil && (slots != l.told.slots || permits != l.told.permits) {
		l.told.slots, l.told.permits = slots, permits
		l.box.Limit(slots, permits)
	}
}

// Restore says what was counted in an hour before the process began.
func (l *Lease) Restore(hour int64, messages, recipients uint32) {
	if l != nil {
		l.box.Restore(share.Hour{Number: hour, Messages: messages, Recipients: recipients})
	}
}

// Connections is how many connections there may be at this moment.
func (l *Lease) Connections() int {
	if l == nil {
		return math.MaxInt32
	}
	return l.box.Connections()
}

// Messages is how many connections may carry a message at this moment: the lease has ended if
// it is not math.MaxInt32.
func (l *Lease) Messages() int {
	if l == nil {
		return math.MaxInt32
	}
	return l.box.Messages()
}

// Open asks for a slot, and for the permit to log in, for the newest of have connections. It
// reports that one before it looks, so that no renewal that does not know of it can give its
// slot away meanwhile.
func (l *Lease) Open(have int) bool {
	if l == nil {
		return true
	}
	l.Report(have, l.told.busy, max(have, l.told.want))
	return have <= l.box.Connections() && l.box.Take(share.LoginsPerMinute)
}

// Report says how many connections there are, in any state; how many of them carry a message;
// and how many could be used.
func (l *Lease) Report(have, busy, want int) {
	if l != nil && (have != l.told.have || busy != l.told.busy || want != l.told.want) {
		l.told.have, l.told.busy, l.told.want = have, busy, want
		l.box.Report(have, busy, want)
	}
}

// Want says how many messages wait for permits, how many recipients the next one has, and how
// many logins would begin.
func (l *Lease) Want(messages, recipients, logins int) {
	if l == nil {
		return
	}
	for k := range share.NumKinds {
		n := messages
		switch k {
		case share.RecipientsPerDay:
			n = recipients
		case share.LoginsPerMinute:
			n = logins
		}
		if n != l.told.wants[k] {
			l.told.wants[k] = n
			l.box.Want(k, n)
		}
	}
}

// Err is share.ErrOutage while nothing new may begin.
func (l *Lease) Err() error {
	if l == nil {
		return nil
	}
	return l.box.Err()
}

// Leave gives all back. Nothing may be in use.
func (l *Lease) Leave() {
	if l != nil {
		l.box.Leave()
	}
}

// ofMessage are the kinds of permits that a message takes: with a recipient it takes them all.
var ofMessage = [...]share.Kind{share.MessagesPerMinute, share.MessagesPerHour, share.MessagesPerDay, share.RecipientsPerDay}

// Room is how many messages with one recipient have their permits.
func (l *Lease) Room() int {
	room := math.MaxInt32
	if l != nil {
		for _, k := range ofMessage {
			room = min(room, l.box.Room(k))
		}
	}
	return max(0, room)
}

// Logins is how many logins have their permits.
func (l *Lease) Logins() int {
	if l == nil {
		return math.MaxInt32
	}
	return max(0, l.box.Room(share.LoginsPerMinute))
}

// Covers reports whether n recipients have their permits. If the store has said that there are
// no more of them, what there is will do: the others are refused.
func (l *Lease) Covers(n int) bool {
	if l == nil || l.box.Room(share.RecipientsPerDay) >= n {
		return true
	}
	_, none := l.box.Wait(share.RecipientsPerDay)
	return none
}

// WaitRecipient returns when the next recipient has its permit; ok is false if the store has
// not said that there is none.
func (l *Lease) WaitRecipient() (until time.Time, ok bool) { return l.box.Wait(share.RecipientsPerDay) }

// Wait returns when permits for n messages with one recipient become free, as far as that is
// known, and the kind that they wait for the longest; ok is false if none of them is known to
// wait: they have their permits, or the store has not answered.
func (l *Lease) Wait(n int) (kind share.Kind, until time.Time, ok bool) {
	if l == nil {
		return kind, until, false
	}
	for _, k := range ofMessage {
		if l.box.Room(k) >= n {
			continue
		}
		if t, none := l.box.Wait(k); none && (!ok || t.After(until)) {
			kind, until, ok = k, t, true
		}
	}
	return kind, until, ok
}

// WaitLogin returns when the next login has its permit; ok is false if the store has not said
// that there is none.
func (l *Lease) WaitLogin() (until time.Time, ok bool) {
	if l == nil || l.box.Room(share.LoginsPerMinute) > 0 {
		return until, false
	}
	return l.box.Wait(share.LoginsPerMinute)
}

// Take takes the permits of a message with one recipient; false if one is missing.
func (l *Lease) Take() bool {
	if l == nil {
		return true
	}
	for i, k := range ofMessage {
		if !l.box.Take(k) {
			for _, k := range ofMessage[:i] {
				l.box.Settle(k, 1, 0)
			}
			return false
		}
	}
	return true
}

// TakeRecipient takes the permit of one more recipient.
func (l *Lease) TakeRecipient() bool { return l == nil || l.box.Take(share.RecipientsPerDay) }

// Settle ends a message with taken recipients, of which the provider counts counted; 0: it does
// not count the message.
func (l *Lease) Settle(taken, counted int) {
	if l == nil {
		return
	}
	for _, k := range ofMessage {
		if k == share.RecipientsPerDay {
			l.box.Settle(k, taken, counted)
		} else {
			l.box.Settle(k, 1, min(1, counted))
		}
	}
}

// SettleLogins ends the opening of a connection, in which the provider saw n logins: the second
// one had no permit before it began.
func (l *Lease) SettleLogins(n int) {
	if l == nil {
		return
	}
	taken := 1
	for taken < n && l.box.Take(share.LoginsPerMinute) {
		taken++
	}
	l.box.Settle(share.LoginsPerMinute, taken, min(taken, n))
}
