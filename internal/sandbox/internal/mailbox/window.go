package mailbox

import "time"

// window counts events over a moving span of time. It is exact to a 60th of the
// span, and counts no event for less than the span.
type window struct {
	span  time.Duration
	slots []slot // 61, made at the first event
}

// slot counts the events of a 60th of the span.
type slot struct {
	number int64 // since the epoch, in slots
	count  int
}

func (w *window) slot(now time.Time) int64 { return now.UnixNano() / int64(w.span/60) }

func (w *window) add(now time.Time, n int) {
	if w.slots == nil {
		w.slots = make([]slot, 61)
	}
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
	for _, s := range w.slots {
		if age := num - s.number; age >= 0 && age <= 60 {
			n += s.count
		}
	}
	return n
}

// next returns how long after now the oldest events drop out of the sum.
func (w *window) next(now time.Time) time.Duration {
	num, width := w.slot(now), int64(w.span/60)
	oldest := num
	for _, s := range w.slots {
		if s.count > 0 && num-s.number <= 60 {
			oldest = min(oldest, s.number)
		}
	}
	return time.Duration((oldest+61)*width - now.UnixNano())
}
