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
