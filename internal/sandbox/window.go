package sandbox

import "time"

// window counts events over a moving span of time, to a 60th of the span. It
// never counts an event for less than the span.
type window struct {
	span  time.Duration
	slots [61]struct {
		number int64 // since the epoch, in slots
		count  int
	}
}

func (w *window) slot(now time.Time) int64 { return now.UnixNano() / int64(w.span/60) }

func (w *window) add(now time.Time, n int) {
	num := w.slot(now)
	s := &w.slots[num%61]
	if s.number != num {
		s.number, s.count = num, 0
	}
	s.count += n
}

// sum returns the number of events in the span before now.
func (w *window) sum(now time.Time) (n int) {
	num := w.slot(now)
	for i := range w.slots {
		if age := num - w.slots[i].number; age >= 0 && age <= 60 {
			n += w.slots[i].count
		}
	}
	return n
}

// next returns how long after now the oldest counted events drop out.
func (w *window) next(now time.Time) time.Duration {
	num, width := w.slot(now), int64(w.span/60)
	oldest := num
	for i := range w.slots {
		if s := w.slots[i]; s.count > 0 && num-s.number <= 60 {
			oldest = min(oldest, s.number)
		}
	}
	return time.Duration((oldest+61)*width - now.UnixNano())
}
