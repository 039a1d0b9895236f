package main

import (
	"math"
	"testing"
	"time"
)

func TestScheduleFixed(t *testing.T) {
	s := newSchedule(buildPhases([]rate{10, 20}, time.Second, 0), false, 1)
	var got []arrival
	for a, ok := s.next(); ok; a, ok = s.next() {
		got = append(got, a)
	}
	if len(got) != 30 {
		t.Fatalf("%d arrivals, want 10 + 20", len(got))
	}
	if got[0].offset != 100*time.Millisecond || got[9].offset != time.Second || got[9].phase != 0 {
		t.Errorf("first phase: first %v, last %v", got[0], got[9])
	}
	if got[10].offset != 1050*time.Millisecond || got[10].phase != 1 || got[29].offset != 2*time.Second {
		t.Errorf("second phase: first %v, last %v", got[10], got[29])
	}
	if _, ok := s.next(); ok {
		t.Error("an arrival after the last one")
	}
}

func TestScheduleRamp(t *testing.T) {
	phases := buildPhases([]rate{100}, time.Second, 2*time.Second)
	s := newSchedule(phases, false, 1)
	var halves [3]int // first and second half of the ramp, the step
	last := time.Duration(-1)
	for a, ok := s.next(); ok; a, ok = s.next() {
		if a.offset < last {
			t.Fatalf("arrival at %v after one at %v", a.offset, last)
		}
		last = a.offset
		switch {
		case a.phase == 1:
			halves[2]++
		case a.offset <= time.Second:
			halves[0]++
		default:
			halves[1]++
		}
	}
	if halves != [3]int{25, 75, 100} {
		t.Errorf("arrivals = %v, want a quarter of the ramp's in its first half", halves)
	}
}

// TestSchedulePoisson compares mean and variance of the counts in windows with
// those of a Poisson process, for which they are equal. The seed is fixed, so
// the outcome is too.
func TestSchedulePoisson(t *testing.T) {
	const perWindow, windows = 50, 2000
	s := newSchedule(buildPhases([]rate{perWindow}, windows*time.Second, 0), true, 7)
	counts := make([]float64, windows+1)
	for a, ok := s.next(); ok; a, ok = s.next() {
		counts[int(a.offset/time.Second)]++
	}
	var sum, squares float64
	for _, c := range counts[:windows] {
		sum += c
		squares += c * c
	}
	mean := sum / windows
	variance := squares/windows - mean*mean
	if math.Abs(mean-perWindow) > 1 {
		t.Errorf("mean = %.2f a window, want %d", mean, perWindow)
	}
	if math.Abs(variance-perWindow) > 5 {
		t.Errorf("variance = %.2f, want about %d", variance, perWindow)
	}
}

func TestScheduleRepeats(t *testing.T) {
	phases := buildPhases([]rate{1000}, time.Second, 0)
	a, b := newSchedule(phases, true, 3), newSchedule(phases, true, 3)
	n := 0
	for {
		x, okX := a.next()
		y, okY := b.next()
		if x != y || okX != okY {
			t.Fatalf("arrival %d: %v and %v from equal seeds", n, x, y)
		}
		if !okX {
			break
		}
		n++
	}
	if got := countArrivals(phases, true, 3); got != n {
		t.Errorf("countArrivals = %d, the schedule has %d", got, n)
	}
}

func TestRateString(t *testing.T) {
	for text, want := range map[string]string{"1k": "1000/m", "50k": "50000/m", "7": "7/m", "10/s": "600/m", "0.01/s": "0.01/s"} {
		var r rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, r, err, want)
		}
	}
}

func TestRateText(t *testing.T) {
	tests := []struct {
		text string
		want float64 // per second; 0: refused
	}{
		{"60", 1}, {"50k", 50000.0 / 60}, {"50K/m", 50000.0 / 60}, {"833/s", 833}, {"1.5k/s", 1500}, {"6M/m", 1e5},
		{"0", 0}, {"-1", 0}, {"", 0}, {"k", 0}, {"fast", 0}, {"10/h", 0}, {"NaN", 0}, {"Inf", 0}, {"2M/s", 0},
	}
	for _, tt := range tests {
		var r rate
		err := r.UnmarshalText([]byte(tt.text))
		if tt.want == 0 {
			if err == nil {
				t.Errorf("%q was taken as %v", tt.text, r)
			}
			continue
		}
		if err != nil || math.Abs(float64(r)-tt.want) > 1e-9 {
			t.Errorf("%q = %v, %v, want %v a second", tt.text, float64(r), err, tt.want)
		}
		var back rate
		if err := back.UnmarshalText([]byte(r.String())); err != nil || math.Abs(float64(back-r)) > 1e-3 {
			t.Errorf("%q: String gives %q, which reads as %v, %v", tt.text, r, back, err)
		}
	}
}
