package mailbox

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	w := window{span: time.Minute}
	t0 := time.Unix(1000, 5)
	w.add(t0, 2)
	w.add(t0.Add(30*time.Second), 1)
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 2}, {30 * time.Second, 3}, {59 * time.Second, 3}, {60 * time.Second, 3}, {62 * time.Second, 1}, {95 * time.Second, 0}} {
		if got := w.sum(t0.Add(tt.after)); got != tt.want {
			t.Errorf("after %v: %d, want %d", tt.after, got, tt.want)
		}
	}
	now := t0.Add(40 * time.Second)
	if d := w.next(now); w.sum(now.Add(d)) != 1 || w.sum(now.Add(d-time.Millisecond)) != 3 {
		t.Errorf("next is %v", d)
	}
}
