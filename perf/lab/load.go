package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"xoauth2-proxy/loadgen/report"
)

// Load runs the load generator and returns its report. A run with failed
// messages has a report as well; what does not have one is an error.
func Load(loadgen string, args ...string) (*report.Report, error) {
	cmd := exec.Command(loadgen, append([]string{"--json", "-"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	dieWithParent(cmd)
	err := cmd.Run()
	rep, jsonErr := report.Read(&stdout)
	if jsonErr != nil {
		return nil, errors.Join(fmt.Errorf("loadgen %s: %w", strings.Join(args, " "), err), errors.New(strings.TrimSpace(stderr.String())))
	}
	return rep, nil
}

// Median returns the middle of the values, or the mean of the two in the
// middle; 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
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
	f := Figures{Runs: len(runs)}
	median := func(of func(*report.Report) float64) float64 {
		values := make([]float64, len(runs))
		for i, r := range runs {
			values[i] = of(r)
		}
		return Median(values)
	}
	f.Rate = median(Throughput)
	f.P50 = median(func(r *report.Report) float64 { return float64(r.Total.Latency.P50) })
	f.P95 = median(func(r *report.Report) float64 { return float64(r.Total.Latency.P95) })
	f.P99 = median(func(r *report.Report) float64 { return float64(r.Total.Latency.P99) })
	f.CPU = median(CPU)
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
