package loop

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pinFrom is the number of CPUs from which "auto" pins. On two CPUs pinning
// made the tail and the accept rate worse: a pinned loop cannot move away
// from a core that another program keeps busy.
const pinFrom = 4

// parsePin checks a Config.Pin and gives the CPUs of a list.
func parsePin(pin string) ([]int, error) {
	switch pin {
	case "", "off", "auto":
		return nil, nil
	}
	var cpus []int
	for field := range strings.SplitSeq(pin, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not off, auto or a list of CPU numbers", pin)
		}
		cpus = append(cpus, n)
	}
	return cpus, nil
}

// pinnedCPUs are the CPUs for n loops, nil for no pinning.
func pinnedCPUs(pin string, n int) ([]int, error) {
	want, err := parsePin(pin)
	if err != nil {
		return nil, err
	}
	if want == nil && (pin != "auto" || runtime.NumCPU() < pinFrom) {
		return nil, nil
	}
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		return nil, fmt.Errorf("loop: pin: %w", err)
	}
	var allowed []int
	for cpu := range len(mask) * 64 {
		if mask.IsSet(cpu) {
			allowed = append(allowed, cpu)
		}
	}
	if want == nil {
		return allowed[:min(n, len(allowed))], nil
	}
	for _, cpu := range want {
		if !slices.Contains(allowed, cpu) {
			return nil, fmt.Errorf("loop: pin: CPU %d is not among those this process may use (%v)", cpu, allowed)
		}
	}
	return want, nil
}

// pin binds the thread of the loop, which gnet locks to it, to one CPU.
// Threads that the runtime starts later do not inherit the mask.
func (l *Loop) pin(cpu int) error {
	p := pinning{cpu: cpu, done: make(chan error, 1)}
	if !l.Post(p) {
		return ErrEnded
	}
	if err := <-p.done; err != nil {
		return fmt.Errorf("loop: cannot pin a loop to CPU %d: %w", cpu, err)
	}
	return nil
}

type pinning struct {
	cpu  int
	done chan error // capacity 1
}

// Run implements Runner.
func (p pinning) Run() {
	var set unix.CPUSet
	set.Set(p.cpu)
	p.done <- unix.SchedSetaffinity(0, &set)
}
