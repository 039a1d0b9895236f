package pace

import (
	"math/rand/v2"
	"testing"
)

// TestRates has octets come at steady rates: every is in ticks, octets come then.
func TestRates(t *testing.T) {
	tests := []struct {
		name   string
		every  int64
		octets int
		slow   bool
	}{
		{"1 KiB a second", 10, 1 << 10, false},
		{"all of a minute at once", Window, Least, false},
		{"twice as much every other minute", 2 * Window, 2 * Least, true},
		{"a little less", 10, 1<<10 - 1, true},
		{"an octet a tick", 1, 1, true},
		{"nothing", Window, 0, true},
		{"fast", 1, 1 << 20, false},
	}
	for _, tt := range tests {
		for _, start := range []int64{0, 7, 12345} {
			var m Meter
			m.Start(start)
			slowAt := int64(0)
			for now := start; now < start+20*Window && slowAt == 0; now++ {
				if (now-start)%tt.every == 0 {
					m.Add(now, tt.octets)
				}
				if now >= m.Next() && m.TooSlow(now) {
					slowAt = now - start
				}
			}
			if (slowAt != 0) != tt.slow || tt.slow && tt.every < Window && slowAt != Window {
				t.Errorf("%s from %d on: too slow after %d ticks", tt.name, start, slowAt)
			}
		}
	}
}

// TestAnyWindow compares the meter with a count of all windows that begin at a step.
func TestAnyWindow(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		came := make([]int, 10*Window)
		for now := range came {
			if r.IntN(50) == 0 {
				came[now] = r.IntN(2 * 50 * Least / Window * 6 / 5)
			}
		}
		want := int64(-1)
		for from := 0; from+Window <= len(came) && want < 0; from += step {
			sum := 0
			for _, n := range came[from : from+Window] {
				sum += n
			}
			if sum < Least {
				want = int64(from + Window)
			}
		}
		var m Meter
		m.Start(0)
		got := int64(-1)
		for now := int64(0); now <= int64(len(came)) && got < 0; now++ {
			if r.IntN(30) == 0 && now%step != 0 || now >= m.Next() { // asked at odd times too
				if m.TooSlow(now) {
					got = now
				}
			}
			if now < int64(len(came)) && came[now] > 0 {
				m.Add(now, came[now])
			}
		}
		if got != want {
			t.Fatalf("seed %d: too slow at %d, want %d", seed, got, want)
		}
	}
}

// TestLateLook: a slow minute counts also if the octets come before the look at it.
func TestLateLook(t *testing.T) {
	var m Meter
	m.Start(0)
	m.Add(Window+5, 10*Least)
	if !m.TooSlow(Window + 6) {
		t.Error("a minute without octets was overlooked")
	}
	m.Stop()
	if m.Running() || m.TooSlow(10*Window) {
		t.Error("a stopped meter measures on")
	}
}
