package limit

import "time"

// Window counts events over a moving span of time, in slots that are a fraction of
// the span. An event counts for the whole span and for at most one slot more, so a
// limit holds in every span, wherever it begins.
//
// Time is monotonic, as far as what Advance is given is: to set the clock of the
// machine neither lengthens a span nor ends it.
type Window struct {
	width time.Duration // of a slot
	slots []uint32      // a ring: one slot more than the span has
	base  time.Time     // when slot len(slots) began; zero before the first Advance
	last  int64         // the number of the newest slot
	sum   int
}

// NewWindow returns an empty window over a span that has parts slots.
func NewWindow(span time.Duration, parts int) *Window {
	return &Window{width: span / time.Duration(parts), slots: make([]uint32, parts+1), last: int64(parts) + 1}
}

// Advance drops the events that are older than the span.
func (w *Window) Advance(now time.Time) {
	n := int64(len(w.slots))
	if w.base.IsZero() { // the slots begin at whole hours, minutes or seconds of the clock
		w.base = now.Add(-time.Duration(now.UnixNano() % int64(w.width)))
	}
	num := n + int64(now.Sub(w.base)/w.width)
	if num <= w.last {
		return
	}
	for i := max(w.last+1, num-n+1); i <= num && w.sum > 0; i++ {
		w.sum -= int(w.slots[i%n])
		w.slots[i%n] = 0
	}
	w.last = num
}

// Sum returns the number of events that count.
func (w *Window) Sum() int { return w.sum }

// Add counts n events. The window must have been advanced to now.
func (w *Window) Add(n int) { w.addAt(0, n) }

// addAt counts n events of age slots ago, unless that is too long ago.
func (w *Window) addAt(age int64, n int) {
	if n > 0 && age >= 0 && age < int64(len(w.slots)) {
		w.slots[(w.last-age)%int64(len(w.slots))] += uint32(n)
		w.sum += n
	}
}

// at returns the count of the slot of age slots ago.
func (w *Window) at(age int64) uint32 {
	if age < 0 || age >= int64(len(w.slots)) {
		return 0
	}
	return w.slots[(w.last-age)%int64(len(w.slots))]
}

// Merge counts the events of another window over the same span, too. Both must have been
// advanced to now.
func (w *Window) Merge(other *Window) {
	for age := range int64(len(w.slots)) {
		w.addAt(age, int(other.at(age)))
	}
}

// Dropped returns when n of the events will have been dropped. If there are fewer, it
// returns when an event of now would be.
func (w *Window) Dropped(n int) time.Time {
	age := int64(len(w.slots)) - 1
	for ; age > 0; age-- {
		if n -= int(w.at(age)); n <= 0 {
			break
		}
	}
	return w.base.Add(time.Duration(w.last-age) * w.width)
}
