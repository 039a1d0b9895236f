package peer

import (
	"math"
	"time"

	"xoauth2-proxy/internal/share"
)

// joinTime is how long a store may take for the first answer, which takes milliseconds.
const joinTime = time.Second

// share joins pool with what the mailbox has.
func (b *box) share(pool share.Pool) {
	b.lot.Lock()
	defer b.lot.Unlock()
	b.free.Store(false)
	b.stays.Store(int64(b.have))
	b.joined = b.of.now()
	b.outside, b.settled = b.taken, [share.NumKinds]uint64{}
	b.real = pool.Join(b.key, b.granted)
	b.real.Limit(b.slots, b.limits)
	for _, h := range b.hours(b.of.now()) {
		b.real.Restore(h)
	}
	b.real.Report(b.have, b.busy, b.want)
	for k := range share.NumKinds {
		b.real.Want(k, b.wants[k])
	}
}

// granted is called after what the process may use has changed.
func (b *box) granted() {
	b.stays.Store(0)
	b.changed()
}

// alone forgets the pool.
func (b *box) alone() {
	b.lot.Lock()
	defer b.lot.Unlock()
	b.real = nil
	b.loosen()
	b.stays.Store(0)
	b.outside = [share.NumKinds]int{}
}

// loosen notes whether anything bounds the mailbox. Called with lot.
func (b *box) loosen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free.Store(b.real == nil && b.until == [share.NumKinds]time.Time{})
}

// held returns what the reports of the member lack: permits that were taken before, and how
// many of them counted in the end.
func (b *box) held() (outside [share.NumKinds]int, settled [share.NumKinds]uint64) {
	b.lot.Lock()
	defer b.lot.Unlock()
	return b.outside, b.settled
}

// Limit implements share.Mailbox.
func (b *box) Limit(slots int, permits [share.NumKinds]int) {
	b.lot.Lock()
	defer b.lot.Unlock()
	b.slots, b.limits = slots, permits
	var unlimited uint32
	for k, most := range permits {
		if most <= 0 {
			unlimited |= 1 << k
			b.taken[k] = 0 // what ends now is not told
		}
	}
	if unlimited&messages != messages {
		unlimited &^= 1 << share.MessagesPerMinute
	}
	b.unlimited.Store(unlimited)
	if b.real != nil {
		b.real.Limit(slots, permits)
	}
}

// messages are the kinds that count messages, as bits.
const messages = 1<<share.MessagesPerMinute | 1<<share.MessagesPerHour | 1<<share.MessagesPerDay

// passes reports whether permits of a kind are neither bounded nor counted.
func (b *box) passes(k share.Kind) bool { return b.unlimited.Load()&(1<<k) != 0 && b.free.Load() }

// Restore implements share.Mailbox.
func (b *box) Restore(h share.Hour) {
	b.lot.Lock()
	defer b.lot.Unlock()
	b.restore(h)
	if b.real != nil {
		b.real.Restore(h)
	}
}

// Connections implements share.Mailbox.
func (b *box) Connections() int {
	if b.free.Load() {
		return math.MaxInt32
	}
	b.lot.Lock()
	defer b.lot.Unlock()
	if b.real == nil {
		return math.MaxInt32
	}
	return max(b.real.Connections(), min(int(b.stays.Load()), b.have))
}

// Messages implements share.Mailbox.
func (b *box) Messages() int {
	if b.free.Load() {
		return math.MaxInt32
	}
	b.lot.Lock()
	defer b.lot.Unlock()
	if b.real == nil || b.stays.Load() > 0 {
		return math.MaxInt32
	}
	return b.real.Messages()
}

// Report implements share.Mailbox.
func (b *box) Report(have, busy, want int) {
	b.lot.Lock()
	defer b.lot.Unlock()
	b.have, b.busy, b.want = have, busy, want
	if b.real != nil {
		b.real.Report(have, busy, want)
	}
}

// Room implements share.Mailbox.
func (b *box) Room(k share.Kind) int {
	if b.free.Load() {
		return math.MaxInt32
	}
	b.lot.Lock()
	defer b.lot.Unlock()
	return b.room(k)
}

func (b *box) room(k share.Kind) int {
	if b.free.Load() {
		return math.MaxInt32
	}
	if b.real != nil {
		return b.real.Room(k)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until[k].IsZero() || b.limits[k] <= 0 {
		return math.MaxInt32
	}
	now := b.of.now()
	if now.After(b.until[k]) {
		b.until[k] = time.Time{}
		b.free.Store(b.until == [share.NumKinds]time.Time{})
		return math.MaxInt32
	}
	used, _ := b.counts.used(k, now)
	return b.limits[k] - used - b.taken[k]
}

// Want implements share.Mailbox.
func (b *box) Want(k share.Kind, n int) {
	b.lot.Lock()
	defer b.lot.Unlock()
	b.wants[k] = n
	if b.real != nil {
		b.real.Want(k, n)
	}
}

// Take implements share.Mailbox.
func (b *box) Take(k share.Kind) bool {
	if b.passes(k) {
		return true
	}
	b.lot.Lock()
	defer b.lot.Unlock()
	if b.real != nil && !b.real.Take(k) || b.real == nil && b.room(k) <= 0 {
		return false
	}
	b.taken[k]++
	return true
}

// Settle implements share.Mailbox. Permits that were taken before the process shared are the
// first to be settled.
func (b *box) Settle(k share.Kind, taken, counted int) {
	if b.passes(k) {
		return
	}
	b.lot.Lock()
	defer b.lot.Unlock()
	b.taken[k] = max(0, b.taken[k]-taken)
	b.count(k, counted)
	if b.real == nil {
		return
	}
	if n := min(taken, b.outside[k]); n > 0 {
		of := min(n, counted)
		b.outside[k] -= n
		b.settled[k] += uint64(of)
		taken, counted = taken-n, counted-of
	}
	if taken > 0 || counted > 0 {
		b.real.Settle(k, taken, counted)
	}
}

// count counts what this process has sent. Messages are counted once, for all kinds.
func (b *box) count(k share.Kind, n int) {
	if n == 0 || k == share.MessagesPerHour || k == share.MessagesPerDay {
		return
	}
	// A message settles its recipients after itself, at the same moment.
	if k != share.RecipientsPerDay || b.settledAt.IsZero() {
		b.settledAt = b.of.now()
	}
	b.add(k, n, b.settledAt)
	if k == share.RecipientsPerDay {
		b.settledAt = time.Time{}
	}
}

// Wait implements share.Mailbox.
func (b *box) Wait(k share.Kind) (until time.Time, ok bool) {
	b.lot.Lock()
	defer b.lot.Unlock()
	if b.real != nil {
		return b.real.Wait(k)
	}
	if b.room(k) > 0 {
		return until, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, until = b.counts.used(k, b.of.now())
	return until, !until.IsZero()
}

// Err implements share.Mailbox.
func (b *box) Err() error {
	if b.free.Load() {
		return nil
	}
	b.lot.Lock()
	defer b.lot.Unlock()
	if b.real == nil || b.of.now().Sub(b.joined) < joinTime {
		return nil
	}
	return b.real.Err()
}

// Leave implements share.Mailbox.
func (b *box) Leave() {
	b.of.leave(b)
	b.lot.Lock()
	defer b.lot.Unlock()
	if b.real != nil {
		b.real.Leave()
	}
}
