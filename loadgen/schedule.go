package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// A phase is a part of an open-loop run in which the rate is constant or
// changes linearly.
type phase struct {
	name     string
	from, to float64 // messages per second at its start and its end
	length   time.Duration
}

// expected returns the mean number of arrivals within the phase.
func (p phase) expected() float64 {
	return (p.from + p.to) / 2 * p.length.Seconds()
}

// invert returns the offset from the phase's start at which the expected
// number of arrivals reaches n; n is at most expected().
//
// The expected number by the time t is a*t + b*t*t/2 with a the rate at the
// start and b its slope; this is its inverse, in the form that does not
// cancel for small b.
func (p phase) invert(n float64) time.Duration {
	a, b := p.from, (p.to-p.from)/p.length.Seconds()
	root := math.Sqrt(math.Max(a*a+2*b*n, 0))
	return time.Duration(2 * n / (a + root) * float64(time.Second))
}

// An arrival is one message's place in the schedule.
type arrival struct {
	offset time.Duration // from the start of the run
	phase  int
}

// A schedule yields the arrivals of a run in order. The arrivals are a unit
// rate process (exponential or constant gaps of mean 1) seen through the
// inverse of the expected number of arrivals, so a ramp needs no case of its
// own. It is not safe for concurrent use.
type schedule struct {
	phases []phase
	gap    func() float64 // distance to the next arrival, of mean 1

	phase int
	base  time.Duration // where the current phase starts
	n     float64       // expected arrivals since then, at the last arrival
}

// newSchedule returns the schedule of the phases. Equal seeds give equal
// schedules.
func newSchedule(phases []phase, poisson bool, seed uint64) *schedule {
	s := &schedule{phases: phases, gap: func() float64 { return 1 }}
	if poisson {
		s.gap = rand.New(rand.NewPCG(seed, 1)).ExpFloat64
	}
	return s
}

// next returns the next arrival; ok is false after the last one.
func (s *schedule) next() (a arrival, ok bool) {
	if s.phase == len(s.phases) {
		return arrival{}, false
	}
	s.n += s.gap()
	for s.n > s.phases[s.phase].expected() {
		s.n -= s.phases[s.phase].expected()
		s.base += s.phases[s.phase].length
		s.phase++
		if s.phase == len(s.phases) {
			return arrival{}, false
		}
	}
	return arrival{s.base + s.phases[s.phase].invert(s.n), s.phase}, true
}

// countArrivals returns how many arrivals a schedule of these parameters has.
func countArrivals(phases []phase, poisson bool, seed uint64) int {
	s, n := newSchedule(phases, poisson, seed), 0
	for {
		if _, ok := s.next(); !ok {
			return n
		}
		n++
	}
}

// A rate is a number of messages per second. Its text form is a number with an
// optional k or M and an optional /s or /m; a bare number counts a minute,
// as operators of bulk mail do.
type rate float64

// maxRate bounds a rate, per second: far above what one machine can do, and
// low enough that a mistyped M is found before the schedule fills memory.
const maxRate = 1e6

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *rate) UnmarshalText(text []byte) error {
	s := string(text)
	per := 60.0
	switch {
	case strings.HasSuffix(s, "/s"):
		s, per = s[:len(s)-2], 1
	case strings.HasSuffix(s, "/m"):
		s = s[:len(s)-2]
	}
	scale := 1.0
	switch {
	case strings.HasSuffix(s, "k"), strings.HasSuffix(s, "K"):
		s, scale = s[:len(s)-1], 1e3
	case strings.HasSuffix(s, "M"):
		s, scale = s[:len(s)-1], 1e6
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n > 0) || n*scale/per > maxRate {
		return fmt.Errorf("%q is not a rate such as 50k (a minute), 50000/m or 833/s", text)
	}
	*r = rate(n * scale / per)
	return nil
}

// String gives the rate per minute if that is a whole number, else per second.
func (r rate) String() string {
	m := math.Round(float64(r) * 60)
	if math.Abs(m-float64(r)*60) < 1e-6 { // a minute's number need not survive the division by 60
		return strconv.FormatFloat(m, 'f', -1, 64) + "/m"
	}
	return strconv.FormatFloat(float64(r), 'g', 6, 64) + "/s"
}

// buildPhases turns steps of a length each into phases, with a linear ramp
// from nothing up to the first step ahead of them if ramp is positive.
func buildPhases(steps []rate, length, ramp time.Duration) []phase {
	var phases []phase
	if ramp > 0 {
		phases = append(phases, phase{"ramp to " + steps[0].String(), 0, float64(steps[0]), ramp})
	}
	for _, r := range steps {
		phases = append(phases, phase{r.String(), float64(r), float64(r), length})
	}
	return phases
}
