package ledger

import (
	"time"

	"xoauth2-proxy/internal/share"
)

// window counts by slot, and in it by the name of the node.
type window map[int64]map[string]int

// slotLen is the length of a slot in ms.
func slotLen(k share.Kind) int64 { return k.Span().Milliseconds() / int64(k.Slots()) }

// slotOf is the slot of a moment.
func slotOf(k share.Kind, t int64) int64 { return t / slotLen(k) }

// leaves is when a slot leaves the window, in ms.
func leaves(k share.Kind, slot int64) int64 { return (slot + int64(k.Slots()) + 1) * slotLen(k) }

// ofMinute reports whether the span is a minute: too short for counts by the hour.
func ofMinute(k share.Kind) bool { return k.Span() < time.Hour }

// kept is how many slots before the running one a window keeps: those that count, and the
// others of an hour of which one counts.
func kept(k share.Kind) int64 {
	if ofMinute(k) {
		return int64(k.Slots())
	}
	return int64(k.Slots()) + time.Hour.Milliseconds()/slotLen(k) - 1
}

// add counts n for name.
func (w *window) add(slot int64, name string, n int) {
	if n <= 0 {
		return
	}
	if *w == nil {
		*w = make(window)
	}
	if (*w)[slot] == nil {
		(*w)[slot] = make(map[string]int)
	}
	(*w)[slot][name] += n
}

// prune forgets the slots that nothing needs any more.
func (w window) prune(k share.Kind, now int64) {
	first := slotOf(k, now) - kept(k)
	for slot := range w {
		if slot < first {
			delete(w, slot)
		}
	}
}

// used is what counts at a moment, and when the first of it leaves; 0: nothing counts.
func (w window) used(k share.Kind, now int64) (n int, next int64) {
	first := slotOf(k, now) - int64(k.Slots())
	for slot, names := range w {
		if slot < first {
			continue
		}
		for _, count := range names {
			n += count
		}
		next = sooner(next, leaves(k, slot))
	}
	return n, next
}

// sooner returns the earlier of two moments, of which 0 is none.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// permits executes the part of a report about one kind. The row is marked as seen already.
func (l *Ledger) permits(e *entry, mine *row, now int64, k share.Kind, name string, r *share.Report) share.PermitGrant {
	p := r.Permits[k]
	p.Limit, p.Held, p.Want = max(0, p.Limit), max(0, p.Held), max(0, p.Want)
	mk := &mine.kinds[k]
	if p.Limit == 0 {
		*mk = kindRow{}
		return share.PermitGrant{Held: max(p.Held, p.Want)}
	}
	grants := l.grantsFrom(k) // not before
	w := &e.windows[k]
	w.prune(k, now)
	w.add(slotOf(k, now), name, mk.delta(p))
	w.raise(k, now, name, r.Hours)
	*mk = kindRow{limit: p.Limit, settled: p.Settled, held: p.Held}

	limit := p.Limit
	used, next := w.used(k, now)
	for _, o := range e.rows {
		if o.live(now) {
			used += o.kinds[k].held
			if n := o.kinds[k].limit; n > 0 {
				limit = min(limit, n)
			}
			continue
		}
		rest, under := l.silent(o, k, now)
		used += rest.n + under.n
		next = sooner(sooner(next, rest.leaves), under.leaves)
	}
	if now >= grants {
		mk.held = max(p.Held, min(p.Want, p.Held+max(0, limit-used)))
	}
	g := share.PermitGrant{Held: mk.held, Used: used + mk.held - p.Held}
	if g.Held < p.Want {
		if next = max(next, grants); next <= now {
			next = now + share.RenewEvery.Milliseconds()
		}
		g.Next = time.Duration(next-now) * time.Millisecond
	}
	return g
}

// grantsFrom is the moment from which permits are granted after a reset: when it is known
// again what counts.
func (l *Ledger) grantsFrom(k share.Kind) int64 {
	if ofMinute(k) {
		return l.reset + ttl + k.Span().Milliseconds() + slotLen(k)
	}
	return l.reset + ttl
}

// delta is how many permits were settled since the last report of the node.
func (mk *kindRow) delta(p share.PermitReport) int {
	if mk.limit == 0 {
		return 0 // what came before the first report is not known
	}
	return int(p.Settled - min(p.Settled, mk.settled))
}

// part is some of the permits that a silent node held: n count now; they leave the window
// at leaves, 0 if n is 0.
type part struct {
	n      int
	leaves int64
}

// silent returns what counts of a silent row: what was held for no message, and what
// belonged to messages under way.
func (l *Ledger) silent(r *row, k share.Kind, now int64) (rest, under part) {
	count := func(n int, from int64) part {
		at := leaves(k, slotOf(k, from))
		if n == 0 || now >= at {
			return part{}
		}
		return part{n, at}
	}
	n := min(r.kinds[k].held, r.busy)
	return count(r.kinds[k].held-n, r.seen+ttl), count(n, r.seen+l.busyFor)
}

// raise raises what name has counted in the hours to what it says.
func (w *window) raise(k share.Kind, now int64, name string, hours []share.Hour) {
	if ofMinute(k) {
		return
	}
	hour := time.Hour.Milliseconds()
	perHour := hour / slotLen(k)
	for _, h := range hours {
		n := int(h.Messages)
		if k == share.RecipientsPerDay {
			n = int(h.Recipients)
		}
		first := min(h.Number, now/hour) * perHour
		last := min(first+perHour-1, slotOf(k, now))
		if first+perHour-1 < slotOf(k, now)-int64(k.Slots()) {
			continue
		}
		for slot := first; slot <= last; slot++ {
			n -= (*w)[slot][name]
		}
		w.add(last, name, n)
	}
}
