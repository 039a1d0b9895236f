package ledger

import (
	"cmp"
	"slices"

	"xoauth2-proxy/internal/share"
)

// Times of turns, in ms.
const (
	restTurn, restGrace = 60_000, 10_000 // of the remainder, while each node has some
	soleTurns           = 4_000          // of all who wait for one of the slots, together
	leastTurn           = 1_000
	mostTurn            = 4_000
	soleGrace           = 2_000
	askAgain            = 250 // between two demands of a row
)

// slots executes the part of a report about connections, and marks the row as seen.
func (l *Ledger) slots(e *entry, mine *row, now int64, r *share.Report) int {
	before := l.count(mine, now)
	wasLive, hadNeed := mine.live(now), mine.need() > 0
	if !wasLive {
		mine.grant, mine.has = 0, false
	}
	mine.seen = now
	mine.limit, mine.have, mine.want = max(0, r.Slots.Limit), max(0, r.Slots.Have), max(0, r.Slots.Want)
	mine.busy = min(max(0, r.Slots.Busy), mine.have)
	if !wasLive || !hadNeed && mine.need() > 0 {
		mine.since = now
	}
	p := l.plan(e, now)
	if mine.limit == 0 {
		mine.grant, mine.has = 0, false
		l.tell(e, mine, p, now, before, r.Key)
		return max(mine.have, mine.want)
	}
	free := p.limit
	for _, o := range e.rows {
		if o != mine {
			free -= l.count(o, now)
		}
	}
	mine.grant = min(p.target[mine], max(0, free))
	if now < l.reset+ttl {
		mine.grant = min(mine.grant, mine.have)
	}
	need := mine.need()
	if has := need > 0 && mine.grant >= min(need, p.most()); has != mine.has {
		mine.has, mine.since = has, now
	}
	l.tell(e, mine, p, now, before, r.Key)
	return mine.grant
}

// tell tells nodes of a demand, and of slots that became free.
func (l *Ledger) tell(e *entry, mine *row, p plan, now int64, before int, key string) {
	var above, below bool // another row that has to give some up, that may get some
	for _, o := range e.rows {
		if o == mine || !o.live(now) {
			continue
		}
		count := l.count(o, now)
		above = above || count > p.target[o]
		below = below || count < p.target[o]
	}
	if mine.grant < p.target[mine] && above && now-mine.asked >= askAgain {
		mine.asked = now
		l.events.tell(share.Event{Kind: share.Demand, Key: key})
	}
	if max(mine.have, mine.grant) < before && below {
		l.events.tell(share.Event{Kind: share.Freed, Key: key})
	}
}

// plan is how many connections each row is to have in the end.
type plan struct {
	limit       int
	share, left int // what open rows get, and how many of them one more
	target      map[*row]int
}

// most is the most that an open row gets.
func (p *plan) most() int { return p.share + min(p.left, 1) }

// plan finds who is to have how many.
func (l *Ledger) plan(e *entry, now int64) plan {
	p := plan{target: make(map[*row]int, len(e.rows))}
	taken := 0
	var rows []*row // live, with a limit
	for _, r := range e.rows {
		if !r.live(now) || r.limit == 0 {
			taken += l.count(r, now)
			continue
		}
		rows = append(rows, r)
		if p.limit == 0 || r.limit < p.limit {
			p.limit = r.limit
		}
	}
	capacity := max(0, p.limit-taken)
	open := p.fill(rows, capacity, (*row).need)
	if p.left > 0 {
		p.rank(open, now)
	}
	for _, r := range open[:p.left] {
		p.target[r]++
	}
	for _, n := range p.target {
		capacity -= n
	}
	parked := plan{target: make(map[*row]int)}
	open = parked.fill(rows, capacity, func(r *row) int { return max(0, r.have-p.target[r]) })
	for _, r := range open[:parked.left] {
		parked.target[r]++
	}
	for r, n := range parked.target {
		p.target[r] += n
	}
	return p
}

// fill shares capacity among rows: who wants no more than an equal part gets what it wants,
// the others, which it returns, get equal parts.
func (p *plan) fill(rows []*row, capacity int, want func(*row) int) (open []*row) {
	for _, r := range rows {
		if want(r) > 0 {
			open = append(open, r)
		}
	}
	for len(open) > 0 {
		p.share = capacity / len(open)
		var more []*row
		for _, r := range open {
			if n := want(r); n <= p.share {
				p.target[r] = n
				capacity -= n
			} else {
				more = append(more, r)
			}
		}
		if len(more) == len(open) {
			break
		}
		open = more
	}
	for _, r := range open {
		p.target[r] = p.share
		capacity -= p.share
	}
	if len(open) > 0 {
		p.left = capacity
	}
	return open
}

// rank brings rows into the order in which they get one more.
func (p *plan) rank(open []*row, now int64) {
	turn, grace := int64(restTurn), int64(restGrace)
	if p.share == 0 {
		turn = min(max(soleTurns*int64(p.left)/int64(len(open)-p.left), leastTurn), mostTurn)
		grace = min(turn, soleGrace)
	}
	class := func(r *row) int {
		held, age := max(r.have, r.grant), now-r.since
		switch {
		case held <= p.share:
			return 1
		case r.has && age < turn && (r.busy > p.share || age < grace):
			return 0
		}
		return 2
	}
	slices.SortStableFunc(open, func(a, b *row) int {
		c := class(a)
		if d := cmp.Compare(c, class(b)); d != 0 {
			return d
		}
		if c == 1 {
			return cmp.Compare(a.since, b.since)
		}
		return cmp.Compare(b.since, a.since)
	})
}
