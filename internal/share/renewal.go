package share

import "time"

// report makes the next report, to be sent at now; ok is false if none is needed. Until it is
// answered, the node has no more connections than it says.
func (b *mailbox) report(seq uint64, now time.Time) (r Report, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.quiet && !b.left && b.idle() {
		return Report{}, false
	}
	if b.over(now) {
		b.drop()
	}
	r = Report{Key: b.key, Seq: seq}
	s := &b.slots
	s.sent = SlotReport{Limit: s.limit, Have: s.have, Busy: s.busy, Want: s.want}
	s.bound = min(s.bound, s.have)
	s.known = min(s.known, s.busy)
	s.ask = time.Time{}
	r.Slots = s.sent
	for k := range b.permits {
		r.Permits[k] = b.permits[k].report(Kind(k), b.nodes)
	}
	if b.anew {
		r.Hours, b.told = b.hours.list(hourOf(now)), true
	}
	b.still = b.unused()
	return r, true
}

// drop forgets what was leased.
func (b *mailbox) drop() {
	b.slots.grant = 0
	for k := range b.permits {
		b.permits[k].free = 0
	}
}

// answered takes the answer to the last report, which was sent at sent. changed is to be
// called if it is not nil; left: the mailbox may be forgotten.
func (b *mailbox) answered(g *Grant, sent, now time.Time) (changed func(), left bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leased, b.nodes = sent, max(1, g.Nodes)
	if b.told {
		b.anew, b.told = false, false
	}
	tell := b.frozen || b.warned || b.lapsed || b.out
	b.frozen, b.warned, b.lapsed, b.out = false, false, false, false
	tell = b.slots.answered(g.Slots, now) || tell
	for k := range b.permits {
		tell = b.permits[k].answered(g.Permits[k], now) || tell
	}
	if b.quiet = b.still && b.idle(); b.quiet { // a store that forgets the node meanwhile is not to count the same again
		for k := range b.permits {
			b.permits[k].settled, b.permits[k].known = 0, 0
		}
	}
	if tell && !b.left {
		changed = b.changed
	}
	return changed, b.left
}

// answered takes the answer to the last report; it reports whether it changes how many
// connections there may be.
func (s *slots) answered(grant int, now time.Time) bool {
	tell := s.grant != grant || s.cut
	s.grant, s.bound, s.known, s.cut = grant, unbounded, s.sent.Busy, false
	if s.limit > 0 && s.want > 0 && grant == 0 {
		s.ask = now.Add(AskEvery)
	}
	return tell
}

// begin has the mailbox renewed with its hours, before anything new begins: the store has
// another epoch.
func (b *mailbox) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.anew, b.told, b.frozen, b.quiet = true, false, true, false
}

// look sees what time has changed. due is when to look again; urgent asks for a renewal.
// terms are the kinds whose term has ended.
func (b *mailbox) look(now time.Time, terms [NumKinds]bool) (urgent bool, due time.Time, changed func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.quiet && b.idle() {
		return false, due, b.tell(now)
	}
	soon := func(t time.Time) {
		switch {
		case t.IsZero():
		case !now.Before(t):
			urgent = true
		case due.IsZero() || t.Before(due):
			due = t
		}
	}
	soon(b.slots.ask)
	for k := range b.permits {
		p := &b.permits[k]
		if terms[k] && p.turn(Kind(k), b.nodes) {
			urgent = true
		}
		if p.limit > 0 && p.waits > 0 && p.free < p.batch(Kind(k), b.nodes) {
			soon(p.next)
		}
	}
	return urgent, due, b.tell(now)
}

// tell returns changed if what the node may use has become less with time.
func (b *mailbox) tell(now time.Time) func() {
	var tell bool
	if !b.leased.IsZero() && !b.quiet {
		if !b.warned && b.age(now) >= parkedFor {
			b.warned, tell = true, true
		}
		if !b.lapsed && b.over(now) {
			b.lapsed, tell = true, true
			b.drop()
		}
	}
	if out := b.err(now) != nil; out != b.out {
		b.out, tell = out, true
	}
	if tell && !b.left {
		return b.changed
	}
	return nil
}

// end ends the lease, and returns the report that gives back what is not in use.
func (b *mailbox) end(seq uint64) Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	b.leased, b.left = time.Time{}, true
	r := Report{Key: b.key, Seq: seq}
	r.Slots = SlotReport{Limit: b.slots.limit, Have: b.slots.have, Busy: b.slots.busy, Want: b.slots.have}
	for k := range b.permits {
		p := &b.permits[k]
		r.Permits[k] = PermitReport{Limit: p.limit, Settled: p.settled, Held: p.used, Want: p.used}
	}
	return r
}
