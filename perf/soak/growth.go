package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// sample is what the proxy uses when all is quiet.
type sample struct{ resident, goroutines, descriptors int64 }

// metrics reads the proxy's metrics.
func (r *soak) metrics() (map[string]float64, error) {
	text, err := r.stand.call("GET", r.stand.admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			all[line[:i]] = v
		}
	}
	return all, nil
}

// sample notes what the proxy uses.
func (r *soak) sample() error {
	m, err := r.metrics()
	if err != nil {
		return err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.stand.proxy.PID()))
	if err != nil {
		return err
	}
	s := sample{int64(m["process_resident_memory_bytes"]), int64(m["go_goroutines"]), int64(len(open))}
	if s.resident == 0 || s.goroutines == 0 {
		return fmt.Errorf("the proxy's metrics do not tell what it uses: %+v", s)
	}
	r.samples = append(r.samples, s)
	r.most.resident = max(r.most.resident, s.resident)
	r.most.goroutines = max(r.most.goroutines, s.goroutines)
	r.most.descriptors = max(r.most.descriptors, s.descriptors)
	return nil
}

// judge looks at the life of a proxy that is over.
func (r *soak) judge() {
	r.failures = append(r.failures, growth(r.samples, r.Growth<<20, int64(r.Clients+5*len(r.stand.accounts)))...)
	r.samples = nil
}

// minSamples is how many a life must have to be judged.
const minSamples = 6

// growth compares the second third of a life, which is behind the warm-up, with
// the last one. A fifth more is noise, and so is what memory and slack allow:
// slack is how many connections come and go.
func growth(life []sample, memory, slack int64) (failures []error) {
	n := len(life)
	if n < minSamples {
		return nil
	}
	check := func(what string, allowed int64, of func(sample) int64) {
		before, after := median(life[n/3:2*n/3], of), median(life[2*n/3:], of)
		if grown := after - before; grown > allowed && grown > before/5 {
			failures = append(failures, fmt.Errorf("%s of the proxy grew from %d to %d within one life", what, before, after))
		}
	}
	check("resident memory", memory, func(s sample) int64 { return s.resident })
	check("the number of goroutines", slack, func(s sample) int64 { return s.goroutines })
	check("the number of descriptors", slack, func(s sample) int64 { return s.descriptors })
	return failures
}

// median returns the middle of what of says of the samples.
func median(life []sample, of func(sample) int64) int64 {
	values := make([]int64, len(life))
	for i, s := range life {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
