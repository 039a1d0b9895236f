package endurance

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
	"xoauth2-proxy/perf/lab/labtest"
)

func TestMemory(t *testing.T) {
	o := &Command{Every: 10 * time.Second}
	var series []report.Point
	for i := range 5 { // points at 5, 10, 15, 20 and 25 s
		series = append(series, report.Point{At: float64(5*i + 5), Length: 5, Rate: float64(100 + i), P95: report.Millis(i + 1), Max: 9, Resident: int64(i+1) * 1e6})
	}
	want := [][]string{{"10s", "2.00", "100", "2.00", "9.00"}, {"20s", "4.00", "102", "4.00", "9.00"}, {"25s", "5.00", "104", "5.00", "9.00"}}
	if got := o.memory(series).Rows; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestAdded: what the proxy adds is the difference to the mean of the runs
// without it, also where that is below nothing.
func TestAdded(t *testing.T) {
	o := &Command{Baseline: time.Minute}
	run := func(p50, p95, p99 report.Millis) *report.Report {
		return &report.Report{Total: report.Phase{Rate: 833, Latency: report.Quantiles{P50: p50, P95: p95, P99: p99}}}
	}
	table := o.added(run(51.5, 55, 61), run(50.5, 52, 70), run(51, 54, 74))
	want := [][]string{
		{"through the proxy", "833", "51.5", "55.0", "61.0"},
		{"without it, before", "833", "50.5", "52.0", "70.0"},
		{"without it, after", "833", "51.0", "54.0", "74.0"},
		{"without it, mean of both", "833", "50.8", "53.0", "72.0"},
		{"added by the proxy; the bar is a P95 of 2 ms", "-", "0.75", "2.00", "-11.0"},
	}
	if !reflect.DeepEqual(table.Rows, want) {
		t.Errorf("%v, want %v", table.Rows, want)
	}
}

// TestDirect runs a load without a proxy, with proof.
func TestDirect(t *testing.T) {
	o := &Command{Pace: 5 * time.Millisecond, Rate: "100/s", Accounts: 7, Connections: 5,
		WarmUp: 200 * time.Millisecond, Baseline: 500 * time.Millisecond}
	labtest.Run(t, func(b *lab.Bench) {
		rep := o.direct(b)
		if p := rep.Proof; p == nil || !p.Holds || p.Delivered == 0 || p.Delivered != rep.Total.Due || rep.Total.Latency.P50 < 5 {
			t.Errorf("%+v, %+v", rep.Total, rep.Proof)
		}
		o.Baseline = 0
		if rep := o.direct(b); rep != nil {
			t.Errorf("%v without a baseline", rep)
		}
	})
}

func TestVerdict(t *testing.T) {
	o := &Command{Pace: 50 * time.Millisecond, Rate: "833/s", Accounts: 2000, Duration: time.Minute}
	rep := &report.Report{Total: report.Phase{Due: 10, Accepted: 9, Refused: 1, Latency: report.Quantiles{P50: 50.5, P95: 51.5, P99: 60}},
		Proof: &report.Proof{Acknowledged: 9, Delivered: 8, Missing: 1}}
	text := o.verdict(rep).String()
	for _, want := range []string{"10, 9, 1", "| 0.5, 1.50, 10.0 |", "9, 8", "1, 0, 0, 0"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
