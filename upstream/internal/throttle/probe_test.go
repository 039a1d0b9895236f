package throttle

import (
	"strings"
	"testing"
	"time"
)

// heldBy returns a throttle that the reply at that phase has put in force.
func heldBy(now time.Time, p Phase) *State {
	r := New(30 * time.Second)
	r.Hold(now, *microsoftRefusal(p))
	return r
}

func microsoftRefusal(p Phase) *Refusal {
	if p == PhaseAuth {
		return &Refusal{p, AccountHold, "535 5.7.139 disabled"}
	}
	return &Refusal{p, AccountHold, "550 5.2.251 full"}
}

// TestProbeSchedule: the times are exact.
func TestProbeSchedule(t *testing.T) {
	for name, tt := range map[string]struct {
		phase Phase
		hours []time.Duration
	}{
		"message": {PhaseFinal, []time.Duration{1, 4, 12, 24, 24, 24}},
		"MAIL":    {PhaseMail, []time.Duration{1, 4, 12, 24, 24, 24}},
		"login":   {PhaseAuth, []time.Duration{24, 24, 24}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			r := heldBy(now, tt.phase)
			for i, hours := range tt.hours {
				due := now.Add(hours * time.Hour)
				if r.MayProbe(due.Add(-1)) || !r.MayProbe(due) || !r.MayProbe(due.Add(1000*time.Hour)) {
					t.Fatalf("probe %d is due %v after the refusal before, want %v", i, r.NextProbe(now).Sub(now), hours*time.Hour)
				}
				r.StartProbe(due)
				if r.MayProbe(due.Add(time.Minute)) {
					t.Fatal("two probes at one time")
				}
				now = due.Add(time.Minute) // it takes a while
				if r.EndProbe(now, false, microsoftRefusal(tt.phase)) {
					t.Fatal("released by the same refusal")
				}
			}
		})
	}
}

// TestProbeOutcomes: what a probe meets decides on the next one.
func TestProbeOutcomes(t *testing.T) {
	refused := func(p Phase, text string) *Refusal {
		r := parsed(t, text)
		return &Refusal{p, Judge(Occasion{Provider: ProviderMicrosoft, Phase: p}, &r).Account, text}
	}
	const now, sameAgain = 0, 4 * time.Hour // the hold's first probe was refused before
	tests := []struct {
		name string
		met  *Refusal
		free bool
		next time.Duration
	}{
		{"the same refusal", microsoftRefusal(PhaseFinal), false, 12 * time.Hour},
		{"another one of the kind", refused(PhaseMail, "550 5.1.8 bad sender"), false, 12 * time.Hour},
		{"the login is held", microsoftRefusal(PhaseAuth), false, 24 * time.Hour},
		{"the recipient is refused", refused(PhaseRcpt, "550 5.1.1 no such user"), true, 0},
		{"the message is refused", refused(PhaseFinal, "554 5.7.1 spam"), true, 0},
		{"the message is deferred", refused(PhaseFinal, "451 4.3.0 later"), true, 0},
		{"the quota is used up", refused(PhaseFinal, "550 5.1.90 of the day"), true, 0},
		{"the account is throttled", refused(PhaseMail, "451 4.7.500 busy"), false, sameAgain},
		{"the login is refused", refused(PhaseAuth, "535 5.7.3 no"), false, sameAgain},
		{"too many logins", refused(PhaseAuth, "454 4.7.0 later"), false, sameAgain},
		{"no refusal", nil, false, now},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := time.Now()
			r := heldBy(at, PhaseFinal)
			probe := func(met *Refusal) (free bool) {
				at = r.NextProbe(at)
				r.StartProbe(at)
				return r.EndProbe(at, false, met)
			}
			probe(microsoftRefusal(PhaseFinal))
			if free := probe(tt.met); free != tt.free {
				t.Fatalf("free %t, want %t", free, tt.free)
			}
			if next := r.NextProbe(at).Sub(at); !tt.free && next != tt.next {
				t.Errorf("the next probe in %v, want %v", next, tt.next)
			}
			if !tt.free && !r.MayProbe(r.NextProbe(at)) {
				t.Error("the next probe may not go when it is due")
			}
		})
	}
}

// TestProbeTimeIsMonotonic: a clock that is set changes nothing of the schedule,
// and the time that is told is that of the clock then.
func TestProbeTimeIsMonotonic(t *testing.T) {
	start := time.Now()
	r := heldBy(start, PhaseFinal)
	if due := r.probes.due; !strings.Contains(due.String(), "m=") {
		t.Errorf("due at %v, without a monotonic reading", due)
	}
	later := start.Add(30 * time.Minute)
	if got := r.NextProbe(later).Sub(later); got != 30*time.Minute {
		t.Errorf("the next probe is due in %v", got)
	}
}
