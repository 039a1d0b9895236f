package limit

import "time"

// Window counts events over a moving span of time, in slots that are a fraction
// of it. An event counts for the whole span and for at most one slot more, so
// that a limit holds in every span, wherever it begins.
type Window struct {
	width int64    // of a slot, in nanoseconds
	slots []uint32 // a ring: one slot more than the span has
	last  int64    // the number of the newest slot, since the epoch
	sum   int
}

// NewWindow returns a window over a span, in slots that are so many parts of it.
func NewWindow(span time.Duration, parts int) *Window {
	return &Window{width: int64(span) / int64(parts), slots: make([]uint32, parts+1)}
}

// Advance forgets what is older than the span. A clock that was set back leaves
// everything as it is.
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

// Sum returns how many events count.
func (w *Window) Sum() int { return w.sum }

// Add counts n events; the window has been advanced to now.
func (w *Window) Add(n int) {
	w.slots[w.last%int64(len(w.slots))] += uint32(n)
	w.sum += n
}

// restore counts n events of a slot of before, if it is not too old.
func (w *Window) restore(slot int64, n int) {
	if age := w.last - slot; n > 0 && age >= 0 && age < int64(len(w.slots)) {
		w.slots[slot%int64(len(w.slots))] += uint32(n)
		w.sum += n
	}
}

// at returns what a slot counts.
func (w *Window) at(slot int64) uint32 {
	if age := w.last - slot; age < 0 || age >= int64(len(w.slots)) {
		return 0
	}
	return w.slots[slot%int64(len(w.slots))]
}

// Dropped returns when n of the events will be older than the span; if there
// are not so many, when all would be that happen now.
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
