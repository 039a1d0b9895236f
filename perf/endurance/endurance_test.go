package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/loadgen/report"
)

func TestMemory(t *testing.T) {
	o := &options{Every: 10 * time.Second}
	var series []report.Point
	for i := range 5 { // points at 5, 10, 15, 20 and 25 s
		series = append(series, report.Point{At: float64(5*i + 5), Length: 5, Rate: float64(100 + i), P95: report.Millis(i + 1), Max: 9, Resident: int64(i+1) * 1e6})
	}
	want := [][]string{{"10s", "2.00", "100", "2.00", "9.00"}, {"20s", "4.00", "102", "4.00", "9.00"}, {"25s", "5.00", "104", "5.00", "9.00"}}
	if got := o.memory(series).Rows; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestVerdict(t *testing.T) {
	o := &options{Pace: 50 * time.Millisecond, Rate: "833/s", Accounts: 2000, Duration: time.Minute}
	rep := &report.Report{Total: report.Phase{Due: 10, Accepted: 9, Refused: 1, Latency: report.Quantiles{P50: 50.5, P95: 51.5, P99: 60}},
		Proof: &report.Proof{Acknowledged: 9, Delivered: 8, Missing: 1}}
	var b strings.Builder
	if _, err := o.verdict(rep).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"10, 9, 1", "| 0.5, 1.50, 10.0 |", "9, 8", "1, 0, 0, 0"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
