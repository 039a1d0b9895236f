package upstream

import "time"

// block queues st for a global slot.
func (s *shard) block(st *accountState) {
	if !st.blocked {
		st.blocked = true
		s.blocked = append(s.blocked, st)
	}
}

// slot takes a global slot for an account of s: one that was handed to the
// shard, or a free one.
func (s *shard) slot() bool {
	if s.slots > 0 {
		s.slots--
		return true
	}
	return s.relay.gate.Acquire(s)
}

// Slot implements limit.Waiter: the shard gives the slot to the account that waits
// longest, and waits again at the end of the line for the next.
func (s *shard) Slot() { s.call(s.onSlot, nil) }

// onSlot gives the slot that was handed to the shard to the account that waits
// longest for one, or back.
func (s *shard) onSlot(now time.Time) {
	s.slots++
	for s.slots > 0 && len(s.blocked) > 0 {
		st := s.blocked[0]
		s.blocked = append(s.blocked[:0], s.blocked[1:]...)
		st.blocked = false
		s.dispatch(st, now)
	}
	for ; s.slots > 0; s.slots-- {
		s.relay.gate.Release()
	}
	if len(s.blocked) > 0 {
		s.relay.gate.Enlist(s)
	}
}
