package turns

import "testing"

// TestTurns: they come evenly, all of them, and none before the first step.
func TestTurns(t *testing.T) {
	for _, tt := range []struct {
		all         int
		began, end  int64
		first, half int // how many have had their turn after a tenth of the time, and after half of it
	}{
		{all: 0, began: 0, end: 100},
		{all: 1, began: 7, end: 107, first: 1, half: 1},
		{all: 10, began: 0, end: 10, first: 1, half: 5},
		{all: 1000, began: 50, end: 150, first: 100, half: 500},
		{all: 3, began: 5, end: 5, first: 3, half: 3}, // no time: all at once
	} {
		var turns Turns[int]
		of := make([]int, tt.all)
		for i := range of {
			of[i] = i
		}
		turns.Begin(of, tt.began, tt.end)
		seen := make(map[int]bool)
		take := func(now int64) int {
			for one, ok := turns.Next(now); ok; one, ok = turns.Next(now) {
				if seen[one] {
					t.Errorf("%+v: %d comes twice", tt, one)
				}
				seen[one] = true
			}
			return len(seen)
		}
		if n := take(tt.began); n != 0 {
			t.Errorf("%+v: %d at the beginning", tt, n)
		}
		if n := take(tt.began + max((tt.end-tt.began)/10, 1)); n != tt.first {
			t.Errorf("%+v: %d after a tenth", tt, n)
		}
		if n := take(tt.began + max((tt.end-tt.began)/2, 1)); n != tt.half {
			t.Errorf("%+v: %d after half", tt, n)
		}
		if left := turns.Left(); left != tt.all-tt.half {
			t.Errorf("%+v: %d left", tt, left)
		}
		if n := take(tt.end + 1000); n != tt.all || turns.Left() != 0 {
			t.Errorf("%+v: %d at the end", tt, n)
		}
	}
}

// TestClear: those who are left have no turn any more.
func TestClear(t *testing.T) {
	var turns Turns[string]
	turns.Begin([]string{"a", "b"}, 0, 2)
	if one, ok := turns.Next(1); !ok || one != "b" {
		t.Errorf("%q, %t", one, ok)
	}
	turns.Clear()
	if one, ok := turns.Next(9); ok {
		t.Errorf("%q", one)
	}
}
