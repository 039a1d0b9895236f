package codec

import "sync/atomic"

// Budget bounds the memory that the content of all messages takes together,
// in octets of segment capacity. It is safe for concurrent use.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of limit octets; 0 or less means no limit.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// TryReserve takes n octets, or none and returns false if that would go above
// the limit.
func (b *Budget) TryReserve(n int64) bool {
	for {
		used := b.used.Load()
		if b.limit > 0 && used > b.limit-n {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Release gives back n octets that TryReserve took.
func (b *Budget) Release(n int64) { b.used.Add(-n) }

// Used returns the octets taken now.
func (b *Budget) Used() int64 { return b.used.Load() }

// Limit returns the limit; 0 or less means none.
func (b *Budget) Limit() int64 { return b.limit }

// highWater is the part of a budget, in percent, above which no new content begins unless
// its account alone uses the budget. Contents that have begun may use the rest.
const highWater = 80

// High reports whether more than 80 % of the budget is in use.
func (b *Budget) High() bool { return b.used.Load() > b.limit/100*highWater }

// Share is the part of one account in a Budget. It is safe for concurrent use.
//
// Up to half of the budget is for all alike. Beyond it an account has at most the greater
// of one content of the largest size and an eighth of the budget, so that some accounts
// with slow clients cannot keep the others from sending.
type Share struct {
	budget *Budget
	most   int64 // when more than half of the budget is in use
	used   atomic.Int64
}

// NewShare returns the share of an account whose content has at most largest octets.
func (b *Budget) NewShare(largest int64) *Share {
	return &Share{budget: b, most: max(Capacity(largest), b.limit/8)}
}

// TryReserve takes n octets of the budget, or none and returns false if that would go above
// the budget or the share.
func (s *Share) TryReserve(n int64) bool {
	if !s.budget.TryReserve(n) {
		return false
	}
	if used := s.used.Add(n); used > s.most && s.budget.limit > 0 && s.budget.used.Load() > s.budget.limit/2 {
		s.Release(n)
		return false
	}
	return true
}

// Release gives back n octets that TryReserve took.
func (s *Share) Release(n int64) {
	s.used.Add(-n)
	s.budget.Release(n)
}

// MayBegin reports whether there is room for a new content of n octets. It reserves none.
func (s *Share) MayBegin(n int64) bool {
	b := s.budget
	if b.limit <= 0 {
		return true
	}
	all, own, need := b.used.Load(), s.used.Load(), Capacity(n)
	switch {
	case all+need > b.limit, all+need > b.limit/2 && own+need > s.most:
		return false
	case all == own: // no other account sends
		return true
	}
	return all+n <= b.limit/100*highWater
}
