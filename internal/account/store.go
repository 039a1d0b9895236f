package account

import "sync/atomic"

// Store publishes the current snapshot. All methods are safe for concurrent
// use and take no lock. A Store must not be copied.
type Store struct {
	current atomic.Pointer[Snapshot]
}

// NewStore returns a store that publishes s; nil means no accounts.
func NewStore(s *Snapshot) *Store {
	st := new(Store)
	st.Swap(s)
	return st
}

// Load returns the current snapshot, never nil. A caller that looks twice and
// wants one consistent answer keeps the result.
func (st *Store) Load() *Snapshot { return st.current.Load() }

// Swap publishes s in place of the current snapshot, which it returns (nil
// the first time). A nil s means no accounts.
func (st *Store) Swap(s *Snapshot) *Snapshot {
	if s == nil {
		s = new(Snapshot)
	}
	return st.current.Swap(s)
}
