package soak

import (
	"fmt"
	"os"

	"xoauth2-proxy/perf/lab"
)

// sample is what the proxy uses when all is quiet.
type sample struct{ resident, goroutines, descriptors int64 }

// sample notes what the proxy uses.
func (r *soak) sample() {
	m := r.stand.Metrics()
	open := lab.Must(os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.stand.PID())))
	s := sample{int64(m.Of("process_resident_memory_bytes")), int64(m.Of("go_goroutines")), int64(len(open))}
	r.samples = append(r.samples, s)
	r.most.resident = max(r.most.resident, s.resident)
	r.most.goroutines = max(r.most.goroutines, s.goroutines)
	r.most.descriptors = max(r.most.descriptors, s.descriptors)
}

// judge looks at the life of a proxy that is over.
func (r *soak) judge() {
	r.failures = append(r.failures, growth(r.samples, r.Growth<<20, int64(r.Clients+5*len(r.stand.accounts)))...)
	r.samples = nil
}

// minSamples is how many a life must have to be judged.
const minSamples = 6

// growth compares the second third of a life, which is after the warm-up, with
// the last one. A fifth more is noise, and so is what memory and slack allow:
// slack is how many connections come and go.
func growth(life []sample, memory, slack int64) (failures []error) {
	n := len(life)
	if n < minSamples {
		return nil
	}
	check := func(what string, allowed int64, of func(sample) int64) {
		number := func(s sample) float64 { return float64(of(s)) }
		before, after := int64(lab.MedianOf(life[n/3:2*n/3], number)), int64(lab.MedianOf(life[2*n/3:], number))
		if grown := after - before; grown > allowed && grown > before/5 {
			failures = append(failures, fmt.Errorf("%s of the proxy grew from %d to %d within one life", what, before, after))
		}
	}
	check("resident memory", memory, func(s sample) int64 { return s.resident })
	check("the number of goroutines", slack, func(s sample) int64 { return s.goroutines })
	check("the number of descriptors", slack, func(s sample) int64 { return s.descriptors })
	return failures
}
