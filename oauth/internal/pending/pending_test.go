package pending

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flaky is a store that fails at random until it is repaired.
type flaky struct {
	mu       sync.Mutex
	records  map[int]int
	repaired atomic.Bool
}

var errFull = errors.New("disk full")

func (f *flaky) Load(key int) (r int, ok bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok = f.records[key]
	return r, ok, nil
}

func (f *flaky) Save(key, r int) error {
	if !f.repaired.Load() && rand.N(2) == 0 {
		return errFull
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records[key] = r
	return nil
}

// TestNewestIsKept has records of many keys saved while others are tried again, over a
// store that fails at random: what is loaded is always what was saved last, and so is
// what the store has in the end.
func TestNewestIsKept(t *testing.T) {
	below := &flaky{records: make(map[int]int)}
	s := New(below, strconv.Itoa)
	const keys, saves = 600, 40
	var writers, savers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		savers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_, _ = s.SaveAll()
				}
			}
		})
	}
	for key := range keys {
		writers.Go(func() {
			for r := range saves {
				err := s.Save(key, r)
				if err != nil && !errors.Is(err, errFull) {
					t.Error(err)
				}
				if got, ok, _ := s.Load(key); !ok || got != r {
					t.Errorf("key %d: loaded %d, saved %d", key, got, r)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	savers.Wait()
	below.repaired.Store(true)
	left := s.Len()
	if saved, err := s.SaveAll(); err != nil || saved != left || s.Len() != 0 {
		t.Errorf("%d of %d saved, %v; %d left", saved, left, err, s.Len())
	}
	for key := range keys {
		if below.records[key] != saves-1 || s.Has(key) {
			t.Errorf("key %d: the store has %d", key, below.records[key])
		}
	}
}

// picky is a store that takes no odd keys.
type picky struct{ flaky }

func (p *picky) Save(key, r int) error {
	if key%2 == 1 {
		return errFull
	}
	return p.flaky.Save(key, r)
}

// TestOneFailureIsNotAll has records that cannot be saved beside others that can.
func TestOneFailureIsNotAll(t *testing.T) {
	below := &picky{flaky{records: make(map[int]int)}}
	s := New(below, strconv.Itoa)
	for key := range 20 {
		s.records[strconv.Itoa(key)] = record[int, int]{key, key}
	}
	below.repaired.Store(true)
	saved, err := s.SaveAll()
	if saved != 10 || !errors.Is(err, errFull) || s.Len() != 10 || s.Has(2) || !s.Has(3) {
		t.Errorf("%d saved, %v; %d left", saved, err, s.Len())
	}
	var none *Store[int, int]
	if none.Has(1) || none.Len() != 0 {
		t.Error("nil is not empty")
	}
}
