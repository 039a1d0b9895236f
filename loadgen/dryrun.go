package main

import (
	"fmt"

	"xoauth2-proxy/loadgen/report"
)

// dryRuns counts what a proxy in dry-run mode did with the messages of a run.
type dryRuns struct {
	metrics        *metricsSampler
	dry, delivered float64 // of the proxy's counters, when the run began
}

// The proxy's counters of messages that it did not send, in dry-run mode, and of those
// that a provider took.
const (
	metricDryRun    = `messages_total{result="dry_run"}`
	metricDelivered = `messages_total{result="delivered"}`
)

// watchDryRuns starts to count, if that is asked for.
func (r *runner) watchDryRuns() error {
	if !r.DryRun {
		return nil
	}
	d := &dryRuns{metrics: r.plan.server.(*metricsSampler)} // the options were checked
	values, err := d.metrics.read(metricDryRun, metricDelivered)
	if err != nil {
		return fmt.Errorf("--dry-run: %w", err)
	}
	d.dry, d.delivered = values[0], values[1]
	r.dryRuns = d
	return nil
}

// verdict compares the messages that were acknowledged with what was counted.
func (d *dryRuns) verdict(acknowledged int64) (*report.DryRun, error) {
	values, err := d.metrics.read(metricDryRun, metricDelivered)
	if err != nil {
		return nil, fmt.Errorf("--dry-run: %w", err)
	}
	counted, delivered := int64(values[0]-d.dry), int64(values[1]-d.delivered)
	v := &report.DryRun{Acknowledged: acknowledged, Counted: counted, Delivered: delivered}
	v.Holds = v.Counted == v.Acknowledged && v.Delivered == 0
	return v, nil
}
