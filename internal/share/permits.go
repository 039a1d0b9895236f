package share

import (
	"math"
	"time"
)

// permits are those of one kind under a key.
type permits struct {
	limit   int
	free    int    // held, and not in use
	used    int    // in use by messages that run
	settled uint64 // since the process began
	known   uint64 // those of settled that an answered report had
	waits   int    // messages that wait for one
	took    int    // in this term of Kind.term
	before  int    // in the last one
	sent    PermitReport
	asked   int       // wanted beyond held by a report that is not answered
	next    time.Time // until then the store has none; zero: it has not said so
}

func (p *permits) held() int { return p.free + p.used }

// ahead is how many permits one of nodes may have beyond the one that is needed next.
func (k Kind) ahead(limit, nodes int) int {
	if k.Span() == time.Minute && limit <= 60 {
		return 0
	}
	return limit / (4 * nodes)
}

// need is how many permits the next message takes.
func (p *permits) need(k Kind) int {
	if k == RecipientsPerDay {
		return p.waits
	}
	return min(p.waits, 1)
}

// batch is how many permits are to be free: for the next message, and for those that wait,
// or come one after the other.
func (p *permits) batch(k Kind, nodes int) int {
	return max(p.need(k), min(max(p.waits, p.took, p.before), k.ahead(p.limit, nodes)))
}

// low reports whether more are to be leased at once: half of the batch is gone, and the
// store may have some.
func (p *permits) low(k Kind, nodes int, now time.Time) bool {
	if p.limit == 0 || now.Before(p.next) {
		return false
	}
	n, free := p.batch(k, nodes), p.free+p.asked
	return free < p.need(k) || free < n && 2*free <= n
}

// term is how often the free permits are fitted to what was taken: those that are unused for
// two terms are given back.
func (k Kind) term() time.Duration { return min(k.Span()/time.Duration(k.Slots()), 30*time.Second) }

// turn ends a term. It takes out the free permits that are too many now, and reports whether
// there were any.
func (p *permits) turn(k Kind, nodes int) (back bool) {
	p.before, p.took = p.took, 0
	most := p.batch(k, nodes)
	back = p.limit > 0 && p.free > most
	if back {
		p.free = most
	}
	return back
}

// report says what is held and wanted.
func (p *permits) report(k Kind, nodes int) PermitReport {
	p.sent = PermitReport{Limit: p.limit, Settled: p.settled, Held: p.held()}
	p.sent.Want = max(p.sent.Held, p.used+p.batch(k, nodes))
	p.asked = p.sent.Want - p.sent.Held
	return p.sent
}

// answered takes the answer to the last report; it reports whether the room has changed.
func (p *permits) answered(g PermitGrant, now time.Time) bool {
	p.known, p.asked = p.sent.Settled, 0
	if p.limit == 0 {
		return false
	}
	free, next := p.free, p.next
	p.free = max(0, p.free+g.Held-p.sent.Held)
	p.next = time.Time{}
	if g.Held < p.sent.Want && g.Next > 0 {
		p.next = now.Add(g.Next)
	}
	return p.free != free || p.next.IsZero() != next.IsZero() || p.next.After(next)
}

// Room implements Mailbox.
func (b *mailbox) Room(k Kind) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch p := &b.permits[k]; {
	case p.limit == 0:
		return math.MaxInt32
	case b.stopped():
		return 0
	default:
		return p.free
	}
}

// stopped reports whether no permit may be taken, though some are free.
func (b *mailbox) stopped() bool { return b.frozen || b.over(time.Now()) }

// Want implements Mailbox.
func (b *mailbox) Want(k Kind, n int) {
	b.mu.Lock()
	p := &b.permits[k]
	p.waits = n
	urgent := !b.left && p.low(k, b.nodes, time.Now())
	b.mu.Unlock()
	b.post(urgent)
}

// Take implements Mailbox.
func (b *mailbox) Take(k Kind) bool {
	b.mu.Lock()
	p := &b.permits[k]
	urgent := false
	if p.limit > 0 {
		now := time.Now()
		if p.free == 0 || b.frozen || b.over(now) {
			b.mu.Unlock()
			return false
		}
		p.free--
		p.took++
		urgent = p.low(k, b.nodes, now)
	}
	p.used++
	b.mu.Unlock()
	b.post(urgent)
	return true
}

// Settle implements Mailbox.
func (b *mailbox) Settle(k Kind, taken, counted int) {
	b.mu.Lock()
	p := &b.permits[k]
	p.used -= taken
	urgent := false
	if p.limit > 0 {
		p.free += taken - counted
		p.settled += uint64(counted)
		urgent = counted > 0 && !p.next.IsZero() // it counts from the report on: the sooner, the sooner it does no more
	}
	switch {
	case counted == 0:
	case k == MessagesPerDay:
		b.hours.add(Hour{Number: hourOf(time.Now()), Messages: uint32(counted)})
	case k == RecipientsPerDay:
		b.hours.add(Hour{Number: hourOf(time.Now()), Recipients: uint32(counted)})
	}
	b.mu.Unlock()
	b.post(urgent)
}

// Wait implements Mailbox.
func (b *mailbox) Wait(k Kind) (until time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := &b.permits[k]; p.limit > 0 && time.Now().Before(p.next) {
		return p.next, true
	}
	return time.Time{}, false
}
