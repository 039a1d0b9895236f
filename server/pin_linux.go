package server

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// pinFrom is the number of CPUs from which "auto" pins. On two CPUs pinning
// made the tail and the accept rate worse: a pinned loop cannot move away
// from a core that somebody else keeps busy.
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
		return nil, fmt.Errorf("server: pin: %w", err)
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
			return nil, fmt.Errorf("server: pin: CPU %d is not among those this process may use (%v)", cpu, allowed)
		}
	}
	return want, nil
}

// pin binds the thread of l, which gnet locks to the loop, to one CPU.
// Threads that the runtime starts later do not inherit the mask.
func pin(l *loop, cpu int) error {
	done := make(chan error, 1)
	err := l.events.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
		var set unix.CPUSet
		set.Set(cpu)
		done <- unix.SchedSetaffinity(0, &set)
		return nil
	}))
	if err == nil {
		err = <-done
	}
	if err != nil {
		return fmt.Errorf("server: pinning a loop to CPU %d: %w", cpu, err)
	}
	return nil
}
