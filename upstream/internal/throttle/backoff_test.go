package throttle

import (
	"io"
	"testing"
	"time"
)

func TestProbeAfterBackoff(t *testing.T) {
	now := time.Now()
	var b Backoff[error]
	if !b.Allows(now, 5) {
		t.Error("refuses without a failure")
	}
	for i := range 30 {
		b.Fail(io.EOF, now, time.Second, time.Minute)
		if !b.Pausing(now) || b.Allows(now, 0) {
			t.Fatalf("failure %d: no pause", i+1)
		}
		if pause := b.until.Sub(now); pause > time.Minute || pause < min(time.Second<<i, time.Minute)/2 {
			t.Fatalf("failure %d: pause of %v", i+1, pause)
		}
		until := b.until
		if b.Fail(io.EOF, now, time.Second, time.Minute); b.until != until {
			t.Fatal("an attempt of the same wave counted again")
		}
		now = until
		if !b.Allows(now, 0) || b.Allows(now, 1) {
			t.Fatalf("failure %d: not exactly one probe after the pause", i+1)
		}
	}
	if b.Forgotten(now) || !b.Forgotten(now.Add(BackoffMemory)) {
		t.Error("memory")
	}
}

// TestForgottenBackOffBeginsAgain: the pause after a failure is longer than the one
// before only as long as that is remembered.
func TestForgottenBackOffBeginsAgain(t *testing.T) {
	const shortest, longest = time.Second, time.Hour
	now := time.Now()
	for _, tt := range []struct {
		later    time.Duration // after the end of the pause
		failures int
	}{{0, 5}, {BackoffMemory - 1, 5}, {BackoffMemory, 1}, {24 * time.Hour, 1}} {
		b := Backoff[error]{failures: 4, until: now}
		b.Fail(io.EOF, now.Add(tt.later), shortest, longest)
		if pause := b.until.Sub(now.Add(tt.later)); b.failures != tt.failures || pause > shortest<<(tt.failures-1) {
			t.Errorf("%v later: %d failures, a pause of %v", tt.later, b.failures, pause)
		}
	}
}
