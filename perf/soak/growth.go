package soak

import (
	"fmt"
	"os"

	"xoauth2-proxy/perf/lab"
)

// sample is what the proxy uses when all is quiet, by the names of usedNames.
type sample [3]int64

// usedNames are what a sample holds.
var usedNames = [len(sample{})]string{"resident memory", "the number of goroutines", "the number of descriptors"}

// sample notes what the proxy uses.
func (r *soak) sample() {
	m := r.stand.Metrics()
	open := lab.Must(os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.stand.PID())))
	s := sample{int64(m.Of("process_resident_memory_bytes")), int64(m.Of("go_goroutines")), int64(len(open))}
	r.samples = append(r.samples, s)
	for i := range s {
		r.most[i] = max(r.most[i], s[i])
	}
}

// judge looks at the life of a proxy that is over.
func (r *soak) judge() {
	slack := int64(r.Clients + 5*len(r.stand.accounts))
	r.failures = append(r.failures, growth(r.samples, sample{r.Growth << 20, slack, slack})...)
	r.samples = nil
}

// minSamples is how many a life must have to be judged.
const minSamples = 6

// growth compares the second third of a life, which is after the warm-up, with
// the last one. A fifth more is noise, and so is the allowance: memory, and as many goroutines
// and descriptors as connections come and go.
func growth(life []sample, allowed sample) (failures []error) {
	n := len(life)
	if n < minSamples {
		return nil
	}
	for i, what := range usedNames {
		of := func(s sample) float64 { return float64(s[i]) }
		before, after := int64(lab.MedianOf(life[n/3:2*n/3], of)), int64(lab.MedianOf(life[2*n/3:], of))
		if grown := after - before; grown > allowed[i] && grown > before/5 {
			failures = append(failures, fmt.Errorf("%s of the proxy grew from %d to %d within one life", what, before, after))
		}
	}
	return failures
}
