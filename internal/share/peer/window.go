package peer

import (
	"sync"
	"time"

	"xoauth2-proxy/internal/share"
)

// window counts by slot. The slots are those of a store: see share.Kind.Slots.
type window map[int64]int

// width is the length of a slot.
func width(k share.Kind) time.Duration { return k.Span() / time.Duration(k.Slots()) }

// slotOf is the slot of a moment.
func slotOf(k share.Kind, at time.Time) int64 { return at.UnixMilli() / width(k).Milliseconds() }

// leaves is when a slot counts no more.
func leaves(k share.Kind, slot int64) time.Time {
	return time.UnixMilli((slot + int64(k.Slots()) + 1) * width(k).Milliseconds())
}

// add counts n. A new slot ends those that count no more.
func (w *window) add(k share.Kind, slot int64, n int) {
	if *w == nil {
		*w = make(window)
	}
	if _, there := (*w)[slot]; !there {
		for old := range *w {
			if old < slot-int64(k.Slots()) {
				delete(*w, old)
			}
		}
	}
	(*w)[slot] += n
}

// sum is what counts at a moment, and when the first of it counts no more.
func (w window) sum(k share.Kind, at time.Time) (n int, until time.Time) {
	if len(w) == 0 {
		return 0, until
	}
	oldest, first := slotOf(k, at)-int64(k.Slots()), int64(0)
	for slot, count := range w {
		if slot < oldest || count == 0 {
			continue
		}
		if n += count; first == 0 || slot < first {
			first = slot
		}
	}
	if n > 0 {
		until = leaves(k, first)
	}
	return n, until
}

// Use is what was counted under one key: by slot, of the kinds whose span is up to an hour,
// and by hour, of the others. It has nothing that does not count any more.
type Use struct {
	Key    string                  `json:"key"`
	Counts [share.NumKinds]Counted `json:"counts"`
	Hours  []share.Hour            `json:"hours,omitempty"`
}

// Counted has counts by slot.
type Counted map[int64]int

// byHour reports whether a kind is counted by the hour, for a day.
func byHour(k share.Kind) bool { return k.Span() > time.Hour }

// counts are those under one key. They outlive the mailbox.
type counts struct {
	boxes int // that use them; guarded by Switch.mu

	mu sync.Mutex // guards what follows; a leaf
	// own is what this process has counted; others what another one has that has ended, of
	// the kinds that are not by the hour.
	own, others [share.NumKinds]window
	// fresh is what was counted in the second now and is not in own.
	now   int64
	fresh [share.NumKinds]int
	// before is what was counted by the hour by all others: before this process, and beside
	// it by another one.
	before map[int64]share.Hour
	// until: another process has ended, and what it has counted is not known to the pool of
	// connections; it counts until then.
	until [share.NumKinds]time.Time
	sums  [share.NumKinds]sum
}

// sum is what counts in a slot; it saves looking at all of them for each message.
type sum struct {
	slot, n int64
	until   time.Time
}

// add counts n of this process. A message is counted as one of MessagesPerMinute, for all
// kinds.
func (c *counts) add(k share.Kind, n int, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := now.Unix(); at != c.now {
		c.settle()
		c.now = at
	}
	c.fresh[k] += n
	c.note(k, n, now)
	if k == share.MessagesPerMinute {
		c.note(share.MessagesPerHour, n, now)
		c.note(share.MessagesPerDay, n, now)
	}
}

// note adds to a sum that is known.
func (c *counts) note(k share.Kind, n int, now time.Time) {
	s := &c.sums[k]
	if s.n == 0 {
		return
	}
	if s.slot == slotOf(k, now) {
		s.n += int64(n)
	} else {
		*s = sum{}
	}
}

// settle puts what was counted in the last second into the windows. Called with mu.
func (c *counts) settle() {
	at := time.Unix(c.now, 0)
	for k, n := range c.fresh {
		if n == 0 {
			continue
		}
		put := func(k share.Kind) { c.own[k].add(k, slotOf(k, at), n) }
		put(share.Kind(k))
		if share.Kind(k) == share.MessagesPerMinute {
			put(share.MessagesPerHour)
			put(share.MessagesPerDay)
		}
		c.fresh[k] = 0
	}
}

// restore says what was counted in an hour before this process.
func (c *counts) restore(h share.Hour) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before == nil {
		c.before = make(map[int64]share.Hour)
	}
	c.before[h.Number] = h
	c.sums = [share.NumKinds]sum{}
}

// put adds what another process has counted that has ended. all: its hours are those of all
// others; else they are its own.
func (c *counts) put(u Use, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sums = [share.NumKinds]sum{}
	until := func(k share.Kind, slot int64) {
		if t := leaves(k, slot); t.After(c.until[k]) {
			c.until[k] = t
		}
	}
	for k := range share.NumKinds {
		for slot, n := range u.Counts[k] {
			c.others[k].add(k, slot, n)
			until(k, slot)
		}
	}
	if c.before == nil {
		c.before = make(map[int64]share.Hour)
	}
	for _, h := range u.Hours {
		was := c.before[h.Number]
		if all {
			h.Messages, h.Recipients = max(h.Messages, was.Messages), max(h.Recipients, was.Recipients)
		} else {
			h.Messages, h.Recipients = h.Messages+was.Messages, h.Recipients+was.Recipients
		}
		c.before[h.Number] = h
		until(share.MessagesPerDay, h.Number)
		until(share.RecipientsPerDay, h.Number)
	}
}

// used is what counts at a moment, and when the first of it counts no more. Called with mu.
func (c *counts) used(k share.Kind, now time.Time) (n int, until time.Time) {
	c.settle()
	slot := slotOf(k, now)
	if s := c.sums[k]; s.slot == slot && s.n > 0 {
		return int(s.n), s.until
	}
	others := c.others[k]
	if byHour(k) {
		others = nil
		for number, h := range c.before { // a slot is an hour
			of := int(h.Messages)
			if k == share.RecipientsPerDay {
				of = int(h.Recipients)
			}
			others.add(k, number, of)
		}
	}
	for _, w := range [...]window{c.own[k], others} {
		m, at := w.sum(k, now)
		if n += m; m > 0 && (until.IsZero() || at.Before(until)) {
			until = at
		}
	}
	c.sums[k] = sum{slot, int64(n), until}
	return n, until
}

// hours returns what was counted by the hour, in all.
func (c *counts) hours(now time.Time) (list []share.Hour) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	last := slotOf(share.MessagesPerDay, now)
	for number := last - int64(share.MessagesPerDay.Slots()); number <= last; number++ {
		h := c.before[number]
		h.Number = number
		h.Messages += uint32(c.own[share.MessagesPerDay][number])
		h.Recipients += uint32(c.own[share.RecipientsPerDay][number])
		if h.Messages+h.Recipients > 0 {
			list = append(list, h)
		}
	}
	return list
}

// use returns what counts at a moment; ok is false if nothing does.
func (c *counts) use(key string, now time.Time) (u Use, ok bool) {
	u = Use{Key: key, Hours: c.hours(now)}
	ok = len(u.Hours) > 0
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range share.NumKinds {
		if byHour(k) {
			continue
		}
		for _, w := range [...]window{c.own[k], c.others[k]} {
			for slot, n := range w {
				if n > 0 && slot >= slotOf(k, now)-int64(k.Slots()) {
					if u.Counts[k] == nil {
						u.Counts[k] = make(Counted)
					}
					u.Counts[k][slot] += n
					ok = true
				}
			}
		}
	}
	return u, ok
}
