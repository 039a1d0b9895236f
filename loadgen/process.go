package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// usage is what a process has used up to now.
type usage struct {
	cpu      float64 // user and system time, seconds
	resident int64   // octets
}

// A sampler reads the usage of the server under load.
type sampler interface {
	sample() (usage, error)
}

// metricsSampler reads it from the server's Prometheus metrics.
type metricsSampler struct {
	url    *url.URL
	client *http.Client
}

// newMetricsSampler returns a sampler for a checked URL.
func newMetricsSampler(u *url.URL) *metricsSampler {
	return &metricsSampler{u, newHTTPClient(5 * time.Second)}
}

// sample implements sampler.
func (m *metricsSampler) sample() (usage, error) {
	values, err := m.read("process_cpu_seconds_total", "process_resident_memory_bytes")
	if err != nil {
		return usage{}, err
	}
	return usage{values[0], int64(values[1])}, nil
}

// read returns the values of the metrics of these names, labels included.
func (m *metricsSampler) read(names ...string) ([]float64, error) {
	resp, err := m.client.Get(m.url.String())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", m.url, resp.Status)
	}
	values, found := make([]float64, len(names)), make([]bool, len(names))
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if i := slices.Index(names, name); i >= 0 {
			if values[i], err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", m.url, name, err)
			}
			found[i] = true
		}
	}
	if i := slices.Index(found, false); i >= 0 {
		return nil, errors.Join(fmt.Errorf("%s: there is no %s", m.url, names[i]), lines.Err())
	}
	return values, nil
}

// pidSampler reads the usage of processes and all that descend from them from
// the proc file system.
type pidSampler []int

// ticksPerSecond is the unit of CPU times in /proc, the same on every Linux
// that user programs see.
const ticksPerSecond = 100

// sample implements sampler.
func (p pidSampler) sample() (usage, error) {
	var sum usage
	for _, pid := range p {
		if err := addProcess(pid, &sum); err != nil {
			return usage{}, err
		}
	}
	return sum, nil
}

// addProcess adds the usage of a process and its descendants to sum.
func addProcess(pid int, sum *usage) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	// The second field is the name in parentheses, which may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime, rss = 11, 12, 21
	if len(fields) <= rss {
		return fmt.Errorf("process %d: its stat file has %d fields", pid, len(fields))
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(string(fields[i]), 10, 64) // the kernel wrote it
		return n
	}
	sum.cpu += float64(number(utime)+number(stime)) / ticksPerSecond
	sum.resident += number(rss) * int64(os.Getpagesize())
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil // a kernel without this file; then it is the process alone
	}
	for child := range bytes.FieldsSeq(children) {
		n, _ := strconv.Atoi(string(child))
		if err := addProcess(n, sum); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// selfSampler reads the usage of this process.
type selfSampler struct{}

// sample implements sampler.
func (selfSampler) sample() (usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, err
	}
	var now usage
	if err := addProcess(os.Getpid(), &now); err != nil {
		return usage{}, err
	}
	return usage{time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds(), now.resident}, nil
}

// A meter follows a process over a run.
type meter struct {
	sampler     sampler
	first, last usage
	peak        int64
}

// newMeter starts to follow.
func newMeter(s sampler) (*meter, error) {
	first, err := s.sample()
	if err != nil {
		return nil, err
	}
	return &meter{sampler: s, first: first, last: first, peak: first.resident}, nil
}

// read returns the CPU time since the last read and the memory now.
func (m *meter) read() (cpu float64, resident int64, err error) {
	now, err := m.sampler.sample()
	if err != nil {
		return 0, 0, err
	}
	cpu = now.cpu - m.last.cpu
	m.last = now
	m.peak = max(m.peak, now.resident)
	return cpu, now.resident, nil
}

// process renders what was used since the meter's start.
func (m *meter) process(messages int64) *report.Process {
	p := &report.Process{CPU: m.last.cpu - m.first.cpu, Resident: m.last.resident, PeakResident: m.peak}
	if messages > 0 && p.CPU > 0 {
		p.CPUPerMessage = p.CPU / float64(messages) * 1e6
		p.MessagesPerCPUSecond = float64(messages) / p.CPU
	}
	return p
}
