package upgrade

import (
	"errors"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/loadgen/report"
)

func TestFailures(t *testing.T) {
	good := func() *result {
		return &result{load: &report.Report{Total: report.Phase{Due: 9, Accepted: 9, Latency: report.Quantiles{P99: 100}},
			Resent: []report.Reply{{Phase: "mail", Code: 421, Count: 3}}, Proof: &report.Proof{Holds: true}},
			took: []float64{1}, peaks: []sandbox.Peaks{{Connections: 1}, {Connections: 3}}}
	}
	o := &Command{P99: 250 * time.Millisecond}
	if err := errors.Join(good().failures(o)...); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*result){
		"2 connections were refused":  func(r *result) { r.load.Resent = append(r.load.Resent, report.Reply{Phase: "connect", Count: 2}) },
		"1 connections were refused":  func(r *result) { r.load.Replies = []report.Reply{{Phase: "auth", Code: 454, Count: 1}} },
		"failed for good":             func(r *result) { r.load.Total.Unknown = 1 },
		"cut off before their end":    func(r *result) { r.load.Resent[0].Code = 0 },
		"1 messages were lost":        func(r *result) { r.load.Proof.Missing = 1 },
		"1 messages came twice":       func(r *result) { r.load.Proof.Duplicated = 1 },
		"although they were refused":  func(r *result) { r.load.Proof.Unacknowledged = 1 },
		"does not hold":               func(r *result) { r.load.Proof.Holds = false },
		"had 4 connections at a time": func(r *result) { r.peaks[0].Connections = 4 },
		"the P99 is 251ms":            func(r *result) { r.load.Total.Latency.P99 = 251 },
	} {
		r := good()
		spoil(r)
		if err := errors.Join(r.failures(o)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
