package share

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// parkedFor is after how long without an answer, from the time of sending, parked
// connections are to be closed: the rest of TTL is for those that carry a message.
const parkedFor = TTL - RenewEvery

// mailbox is the Mailbox of one key. Its lock is a leaf: what holds it calls nothing that
// locks or waits.
type mailbox struct {
	member *Member
	key    string

	queued atomic.Bool // is in Member.urgent
	next   *mailbox    // there

	mu      sync.Mutex
	changed func()
	slots   slots
	permits [NumKinds]permits
	hours   hours

	nodes  int       // that have leases under the key, by the last answer; 1 at least
	leased time.Time // when the last report was sent that was answered; zero: none
	anew   bool      // the store is to be told the hours: at first, and in a new epoch
	told   bool      // the last report has them all
	frozen bool      // a new epoch: nothing new may begin until then
	quiet  bool      // nothing is leased or wanted, and the store knows: it needs no renewal
	still  bool      // so says the last report
	left   bool      // by Leave
	warned bool      // changed was called because parkedFor has passed
	lapsed bool      // the lease has ended, and what was leased was dropped
	out    bool      // the last that was told of Err
}

// slots are the connections under a key.
type slots struct {
	limit            int
	have, busy, want int
	sent             SlotReport // the last
	grant            int        // by the last answer
	// bound is the fewest that a report had which is not answered, nor a later one; such a
	// report may have lowered the grant, or still do. math.MaxInt: there is none.
	bound int
	cut   bool // the pool was told less than grant because of bound
	// known is how many connections with a message the store is sure to know of: the fewest
	// in the last answered report and those after it.
	known int
	ask   time.Time // when to ask again; zero: at the next renewal
}

// over reports whether the lease has ended.
func (b *mailbox) over(now time.Time) bool { return b.age(now) >= TTL }

func (b *mailbox) age(now time.Time) time.Duration {
	if b.leased.IsZero() {
		return math.MaxInt64
	}
	return now.Sub(b.leased)
}

// post has the sharer renew the mailbox at once.
func (b *mailbox) post(urgent bool) {
	if urgent {
		b.member.post(b)
	}
}

// Limit implements Mailbox.
func (b *mailbox) Limit(slots int, limits [NumKinds]int) {
	b.mu.Lock()
	differs := b.slots.limit != slots
	if b.slots.limit == 0 { // messages that run need no lease
		b.slots.known = max(b.slots.known, b.slots.busy)
	}
	b.slots.limit = slots
	for k := range limits {
		p := &b.permits[k]
		if p.limit != limits[k] {
			differs = true
			p.limit = limits[k]
		}
		if p.limit == 0 {
			p.free = 0
		}
	}
	urgent := differs && !b.idle()
	b.mu.Unlock()
	b.post(urgent)
}

// Restore implements Mailbox.
func (b *mailbox) Restore(h Hour) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hours.add(h)
	b.anew, b.told = true, false
}

// Connections implements Mailbox.
func (b *mailbox) Connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.slots
	switch {
	case s.limit == 0:
		return math.MaxInt32
	case b.age(time.Now()) >= parkedFor:
		return 0
	}
	most := min(s.grant, s.limit)
	if s.bound < most {
		most, s.cut = s.bound, true
	}
	return most
}

// Messages implements Mailbox.
func (b *mailbox) Messages() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := &b.slots; s.limit > 0 && b.over(time.Now()) {
		return s.known
	}
	return math.MaxInt32
}

// Report implements Mailbox.
func (b *mailbox) Report(have, busy, want int) {
	b.mu.Lock()
	s := &b.slots
	s.have, s.busy, s.want = have, busy, want
	more := want > s.sent.Want && (want > s.grant || b.over(time.Now()))
	back := have < s.sent.Have && s.grant < s.sent.Have // other nodes wait for it
	urgent := s.limit > 0 && !b.left && (more || back)
	b.mu.Unlock()
	b.post(urgent)
}

// Err implements Mailbox.
func (b *mailbox) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err(time.Now())
}

func (b *mailbox) err(now time.Time) error {
	if b.over(now) && b.limited() {
		return b.member.refusal()
	}
	return nil
}

// limited reports whether anything is leased under the key.
func (b *mailbox) limited() bool {
	for k := range b.permits {
		if b.permits[k].limit > 0 {
			return true
		}
	}
	return b.slots.limit > 0
}

// Leave implements Mailbox.
func (b *mailbox) Leave() {
	b.mu.Lock()
	b.left = true
	b.slots.have, b.slots.busy, b.slots.want = 0, 0, 0
	for k := range b.permits {
		b.permits[k].free, b.permits[k].waits = 0, 0
	}
	b.mu.Unlock()
	b.post(true)
}

// unused reports whether nothing is leased or wanted.
func (b *mailbox) unused() bool {
	for k := range b.permits {
		if p := &b.permits[k]; p.held() > 0 || p.waits > 0 {
			return false
		}
	}
	return b.slots.have == 0 && b.slots.want == 0
}

// idle reports whether moreover the store knows all that has settled.
func (b *mailbox) idle() bool {
	for k := range b.permits {
		if b.permits[k].settled != b.permits[k].known {
			return false
		}
	}
	return b.unused()
}

// parks reports whether the node could give slots back.
func (b *mailbox) parks() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slots.limit > 0 && (b.slots.have > b.slots.busy || b.slots.grant > b.slots.have)
}

// wants reports whether the node could use more slots than it may.
func (b *mailbox) wants() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slots.limit > 0 && b.slots.want > b.slots.grant
}

// hours are the counts of the day and of the hours at its edges, by their number modulo
// their number.
type hours [26]Hour

func (h *hours) add(c Hour) {
	at := &h[uint64(c.Number)%uint64(len(h))]
	if at.Number < c.Number {
		*at = Hour{Number: c.Number}
	}
	at.Messages += c.Messages
	at.Recipients += c.Recipients
}

// list returns those of the day that ends with the hour now, that one included.
func (h *hours) list(now int64) (list []Hour) {
	list = append(list, Hour{Number: now})
	for _, c := range h {
		switch {
		case c.Number == now:
			list[0] = c
		case c.Number > now-25 && c.Number < now+2 && c.Messages+c.Recipients > 0:
			list = append(list, c)
		}
	}
	return list
}

// hourOf is the number of an hour.
func hourOf(now time.Time) int64 { return now.Unix() / int64(time.Hour/time.Second) }
