package lab

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// Load runs the load generator and returns its report. A run with failed
// messages has a report as well; what does not have one ends the measurement.
func (b *Bench) Load(args ...string) *report.Report {
	cmd := exec.Command(b.Loadgen, append([]string{"--json", "-"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	rep, jsonErr := report.Read(&stdout)
	if jsonErr != nil {
		Failf("loadgen %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return rep
}

// Milliseconds returns the time since then, in milliseconds.
func Milliseconds(then time.Time) float64 { return time.Since(then).Seconds() * 1e3 }

// Quantile returns a quantile of the values, interpolated between neighbours; 0 of
// none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	i := int(at)
	return sorted[i] + (at-float64(i))*(sorted[min(i+1, len(sorted)-1)]-sorted[i])
}

// Median returns the middle of the values, or the mean of the two in the
// middle; 0 of none.
func Median(values []float64) float64 { return Quantile(values, .5) }

// MedianOf returns the median of a quantity of all.
func MedianOf[T any](all []T, quantity func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, one := range all {
		values[i] = quantity(one)
	}
	return Median(values)
}

// Throughput is the accepted messages a second of a run.
func Throughput(r *report.Report) float64 { return r.Total.Rate }

// CPU is the server's microseconds a message of a run, 0 if they are unknown.
func CPU(r *report.Report) float64 {
	if r.Server == nil {
		return 0
	}
	return r.Server.CPUPerMessage
}

// Figures are the medians of what several runs of one cell gave.
type Figures struct {
	Runs          int
	Rate          float64 // accepted messages a second
	CPU           float64 // of the server, microseconds a message; 0 if unknown
	P50, P95, P99 float64 // milliseconds
	Resident      float64 // of the server, MB, the most that was seen
	Failed        int64   // messages, in all runs together
	Unproven      int     // runs of which the proof failed
}

// Summarize returns the figures of the runs.
func Summarize(runs []*report.Report) Figures {
	f := Figures{
		Runs: len(runs), Rate: MedianOf(runs, Throughput), CPU: MedianOf(runs, CPU),
		P50: MedianOf(runs, func(r *report.Report) float64 { return float64(r.Total.Latency.P50) }),
		P95: MedianOf(runs, func(r *report.Report) float64 { return float64(r.Total.Latency.P95) }),
		P99: MedianOf(runs, func(r *report.Report) float64 { return float64(r.Total.Latency.P99) }),
	}
	for _, r := range runs {
		f.Failed += r.Total.Failed()
		if r.Server != nil {
			f.Resident = max(f.Resident, float64(r.Server.PeakResident)/1e6)
		}
		if r.Proof != nil && !r.Proof.Holds {
			f.Unproven++
		}
	}
	return f
}

// FigureNames are the heads of the columns that Cells fills.
var FigureNames = []string{"msg/s", "CPU us/msg", "P50 ms", "P95 ms", "P99 ms", "RSS MB", "failed"}

// Cells are the figures for a row of a table.
func (f Figures) Cells() []any {
	return []any{f.Rate, f.CPU, f.P50, f.P95, f.P99, f.Resident, f.Failed}
}
