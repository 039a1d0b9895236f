package limit

import "time"

// Window counts events over a moving span of time, in slots that are a fraction of
// the span. An event counts for the whole span and for at most one slot more, so a
// limit holds in every span, wherever it begins.
type Window struct {
	width int64    // of a slot, in nanoseconds
	slots []uint32 // a ring: one slot more than the span has
	last  int64    // the number of the newest slot, since the epoch
	sum   int
}

// NewWindow returns an empty window over a span that has parts slots.
func NewWindow(span time.Duration, parts int) *Window {
	return &Window{width: int64(span) / int64(parts), slots: make([]uint32, parts+1)}
}

// Advance drops the events that are older than the span. It does nothing if the clock
// was set back.
func (w *Window) Advance(now time.Time) {
	num := now.UnixNano() / w.width
	if num <= w.last {
		return
	}
	n := int64(len(w.slots))
	for i := max(w.last+1, num-n+1); i <= num && w.sum > 0; i++ {
		w.sum -= int(w.slots[i%n])
		w.slots[i%n] = 0
	}
	w.last = num
}

// Sum returns the number of events that count.
func (w *Window) Sum() int { return w.sum }

// Add counts n events. The window must have been advanced to now.
func (w *Window) Add(n int) {
	w.slots[w.last%int64(len(w.slots))] += uint32(n)
	w.sum += n
}

// restore counts n events of an earlier slot, unless that is too old.
func (w *Window) restore(slot int64, n int) {
	if age := w.last - slot; n > 0 && age >= 0 && age < int64(len(w.slots)) {
		w.slots[slot%int64(len(w.slots))] += uint32(n)
		w.sum += n
	}
}

// at returns the count of a slot.
func (w *Window) at(slot int64) uint32 {
	if age := w.last - slot; age < 0 || age >= int64(len(w.slots)) {
		return 0
	}
	return w.slots[slot%int64(len(w.slots))]
}

// Dropped returns when n of the events will have been dropped. If there are fewer, it
// returns when an event of now would be.
func (w *Window) Dropped(n int) time.Time {
	size := int64(len(w.slots))
	oldest := w.last - size + 1
	for slot := oldest; slot < w.last; slot++ {
		if n -= int(w.at(slot)); n <= 0 {
			return time.Unix(0, (slot+size)*w.width)
		}
	}
	return time.Unix(0, (w.last+size)*w.width)
}
