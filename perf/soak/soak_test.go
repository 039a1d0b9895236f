package soak

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/perf/lab"
)

func TestFateOf(t *testing.T) {
	for _, tt := range []struct {
		err   error
		ended bool
		want  fate
	}{
		{nil, true, accepted},
		{lab.Refusal("550 5.1.1 no"), true, refused},
		{lab.Refusal("550 5.1.1 no"), false, refused},
		{lab.Refusal("452 4.2.2 later"), true, deferred},
		{lab.Refusal("451 4.4.2 connection lost"), true, unknown},
		{lab.Refusal("451 4.5.0 not understood"), true, unknown},
		{errors.New("reset"), true, unknown},
		{errors.New("reset"), false, deferred},
	} {
		if got := fateOf(tt.err, tt.ended); got != tt.want {
			t.Errorf("%v, ended %v: %s, want %s", tt.err, tt.ended, fateNames[got], fateNames[tt.want])
		}
	}
}

func TestLedgerCompare(t *testing.T) {
	l := &ledger{run: "r"}
	for _, f := range []fate{accepted, accepted, unknown, unknown, deferred, refused, refused} {
		l.enter(l.number(), f)
	}
	v := l.compare(sandbox.LoadStats{Duplicates: 1, DuplicateOf: []uint64{0}, WrongSum: 1, WrongAccount: 2,
		DeliveredRanges: []sandbox.Range{{First: 0, Last: 0}, {First: 2, Last: 2}, {First: 6, Last: 9}}})
	if v.counts != [numFindings]int64{unanswered: 1, lost: 1, twice: 1, thoughRefused: 1, wrong: 3} || v.failure() == nil {
		t.Errorf("verdict %+v", v)
	}
	good := &ledger{run: "r", fates: []fate{accepted, deferred}}
	v = good.compare(sandbox.LoadStats{DeliveredRanges: []sandbox.Range{{First: 0, Last: 0}}})
	if err := v.failure(); err != nil {
		t.Error(err)
	}
}

func TestGrowth(t *testing.T) {
	life := func(n int, at func(i int) sample) (all []sample) {
		for i := range n {
			all = append(all, at(i))
		}
		return all
	}
	for _, tt := range []struct {
		name string
		life []sample
		want int
	}{
		{"too short to tell", life(5, func(i int) sample { return sample{int64(i) << 30, 1, 1} }), 0},
		{"level after a warm-up", life(12, func(i int) sample { return sample{min(int64(i), 4) << 30, 10, 10} }), 0},
		{"noise", life(12, func(i int) sample { return sample{int64(100+i%3) << 20, int64(10 + i%5), int64(10 + i%5)} }), 0},
		{"memory", life(12, func(i int) sample { return sample{int64(100+20*i) << 20, 10, 10} }), 1},
		{"all", life(12, func(i int) sample { return sample{int64(100+20*i) << 20, int64(50 * i), int64(50 * i)} }), 3},
	} {
		if got := growth(tt.life, sample{48 << 20, 20, 20}); len(got) != tt.want {
			t.Errorf("%s: %v, want %d failures", tt.name, got, tt.want)
		}
	}
}

func TestRandomRulesAreValid(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		if r := randomRule(random); r.Validate() != nil {
			t.Fatalf("%+v: %v", r, r.Validate())
		}
	}
}

func TestPlanRests(t *testing.T) {
	for _, tt := range []struct {
		duration  time.Duration
		rests     int
		rest      time.Duration
		wantRests int
		wantRest  time.Duration
		wantError bool
	}{
		{duration: 30 * time.Second, rests: -1, wantRests: 1, wantRest: shortRest},
		{duration: time.Minute, rests: -1, wantRests: 1, wantRest: shortRest},
		{duration: 5 * time.Minute, rests: -1, wantRests: 1, wantRest: longRest},
		{duration: 20 * time.Minute, rests: -1, wantRests: 2, wantRest: longRest},
		{duration: time.Hour, rests: -1, wantRests: 6, wantRest: longRest},
		{duration: time.Minute, rests: 0, wantRest: shortRest},
		{duration: 150 * time.Second, rests: 1, rest: longRest, wantRests: 1, wantRest: longRest},
		{duration: 2 * time.Minute, rests: 2, rest: longRest, wantError: true},
	} {
		o := Command{Duration: tt.duration, Rests: tt.rests, Rest: tt.rest}
		spacing, err := o.planRests()
		if tt.wantError {
			if err == nil {
				t.Errorf("%+v: rests every %v", tt, spacing)
			}
			continue
		}
		taken := time.Duration(o.Rests)*(o.Rest+aroundRest+spacing) + spacing
		if err != nil || o.Rests != tt.wantRests || o.Rest != tt.wantRest || taken > tt.duration {
			t.Errorf("%+v: %d rests of %v every %v, %v", tt, o.Rests, o.Rest, spacing, err)
		}
	}
}

func TestRestFailuresAreValid(t *testing.T) {
	for _, r := range restFailures {
		if err := r.Validate(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
