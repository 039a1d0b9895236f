package server

import (
	"math"
	"time"
)

// tick is the resolution of all session timeouts.
const tick = time.Second

const (
	wheelSlots = 512
	noDeadline = math.MaxInt64
)

// wheelNode links a session into a slot of its loop's wheel.
type wheelNode struct {
	deadline   int64 // in ticks of the loop
	slot       int64 // the tick at which the wheel looks at it; 0: not linked
	next, prev *session
}

// wheel is a hashed timing wheel, one per loop. It is lazy: moving a deadline
// later only stores it, and the session is put into its new slot when the old
// one comes up. A command so costs one store.
type wheel struct {
	slots [wheelSlots]*session
}

func ticksOf(d time.Duration) int64 { return int64((d+tick-1)/tick) + 1 }

// set gives s a deadline.
func (w *wheel) set(s *session, deadline int64) {
	s.deadline = deadline
	if s.slot == 0 || deadline < s.slot {
		w.remove(s)
		w.link(s)
	}
}

func (w *wheel) link(s *session) {
	s.slot = s.deadline
	head := &w.slots[s.slot%wheelSlots]
	s.prev, s.next = nil, *head
	if *head != nil {
		(*head).prev = s
	}
	*head = s
}

// remove unlinks s; it is fine to remove one that is not linked.
func (w *wheel) remove(s *session) {
	if s.slot == 0 {
		return
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		w.slots[s.slot%wheelSlots] = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.slot, s.next, s.prev = 0, nil, nil
}

// advance looks at the slot of tick now and calls expired for each session
// whose deadline has passed. A session without a deadline is unlinked; the
// next set links it again.
func (w *wheel) advance(now int64, expired func(*session)) {
	for s := w.slots[now%wheelSlots]; s != nil; {
		next := s.next
		if s.slot <= now {
			w.remove(s)
			switch {
			case s.deadline == noDeadline:
			case s.deadline <= now:
				expired(s)
			default:
				w.link(s)
			}
		}
		s = next
	}
}
