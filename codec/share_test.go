package codec_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"xoauth2-proxy/codec"
)

// TestShare has accounts that reserve one after the other; each step is an account, octets
// (negative: given back), and whether that works. The budget is 800, an eighth 100.
func TestShare(t *testing.T) {
	type step struct {
		account int
		n       int64
		ok      bool
	}
	const largest = 1 // a segment in fact
	const unit = codec.FirstSegmentSize
	tests := []struct {
		name   string
		budget int64 // in units
		steps  []step
	}{
		{"all up to half", 80, []step{{0, 40, true}, {0, 1, false}, {1, 10, true}, {1, 1, false}, {2, 10, true}, {3, 10, true}, {4, 10, true}, {5, 1, false}}},
		{"below half again", 80, []step{{0, 40, true}, {0, 1, false}, {0, -1, true}, {0, 1, true}, {0, 1, false}}},
		{"the largest content always", 4, []step{{0, 2, true}, {0, 1, false}, {1, 1, true}, {1, 1, false}, {2, 1, true}, {3, 1, false}}},
		{"alone", 1, []step{{0, 1, true}, {0, 1, false}, {0, -1, true}, {1, 1, true}}},
		{"nothing is kept of a refusal", 80, []step{{0, 45, false}, {0, 40, true}, {1, 11, false}, {1, 10, true}}},
		{"no limit", 0, []step{{0, 1 << 20, true}, {1, 1 << 20, true}, {0, 1 << 20, true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := codec.NewBudget(tt.budget * unit)
			var accounts [6]*codec.Share
			for i := range accounts {
				accounts[i] = b.NewShare(largest)
			}
			var used int64
			for i, st := range tt.steps {
				s, n := accounts[st.account], st.n*unit
				switch {
				case n < 0:
					s.Release(-n)
					used += n
				case s.TryReserve(n) != st.ok:
					t.Fatalf("step %d: account %d, %d units: got %v", i, st.account, st.n, !st.ok)
				case st.ok:
					used += n
				}
				if b.Used() != used {
					t.Fatalf("step %d: %d in use, want %d", i, b.Used(), used)
				}
			}
		})
	}
}

// TestShareMayBegin: MayBegin tells at MAIL what would be refused in content.
func TestShareMayBegin(t *testing.T) {
	const unit = codec.FirstSegmentSize
	b := codec.NewBudget(80 * unit)
	anna, bert := b.NewShare(1), b.NewShare(1)
	check := func(who string, s *codec.Share, n int64, want bool) {
		t.Helper()
		if s.MayBegin(n) != want {
			t.Errorf("%s, %d octets with %d units in use: %v", who, n, b.Used()/unit, !want)
		}
	}
	check("alone", anna, 0, true)
	check("alone", anna, 70*unit, false) // more than half, and than its share
	check("alone, half", anna, 29*unit, true)
	anna.TryReserve(40 * unit)
	check("at half, above its share", anna, 0, false)
	check("another at half", bert, 0, true)
	check("another, more than its share", bert, 14*unit, false)
	bert.TryReserve(9 * unit)
	check("one more", bert, 1, true)
	bert.TryReserve(1 * unit)
	check("at its share", bert, 1, false)
	carl := b.NewShare(40 * unit)
	check("below 80 %", carl, 13*unit, true)
	check("above 80 %", carl, 15*unit, false)
	carl.TryReserve(15 * unit)
	check("above 80 %", carl, 0, false)
	if !b.High() {
		t.Error("81 % in use is not high")
	}
	small := codec.NewBudget(codec.Capacity(1000 * unit))
	dora := small.NewShare(1000 * unit)
	if !dora.MayBegin(1000*unit) || !dora.TryReserve(codec.Capacity(1000*unit)) {
		t.Error("one account alone may not send a message of the largest size")
	}
}

// TestShareConcurrently: what all take and give back at one time sums to nothing.
func TestShareConcurrently(t *testing.T) {
	b := codec.NewBudget(1 << 20)
	shares := []*codec.Share{b.NewShare(1000), b.NewShare(1000), b.NewShare(1000)}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 2))
			for range 2000 {
				s, n := shares[r.IntN(len(shares))], int64(r.IntN(300_000))
				if s.TryReserve(n) {
					if b.Used() > b.Limit() {
						t.Error("more than the limit is in use")
					}
					s.Release(n)
				}
			}
		})
	}
	all.Wait()
	if b.Used() != 0 {
		t.Errorf("%d octets are left in use", b.Used())
	}
}
