package main

import (
	"context"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// A monitor watches a run: it makes a point of the series of every interval,
// reads the server's usage, and draws the progress line. All of it belongs to
// the goroutine of run until that has returned.
type monitor struct {
	recorder *recorder
	server   *meter // nil: unknown
	progress *progress
	interval time.Duration

	series       []report.Point
	tally        *tally
	done, failed int64
	err          error // of reading the server's usage, the first
}

// run watches until the context ends, and looks a last time then.
func (m *monitor) run(ctx context.Context) {
	m.tally = newTally()
	start := time.Now()
	last := start
	ticker := time.NewTicker(m.interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		now := time.Now()
		m.point(now.Sub(start), now.Sub(last))
		last = now
	}
	// The last interval may be very short, and its rates mean nothing.
	if n := len(m.series); n > 1 && m.series[n-1].Length < m.interval.Seconds()/2 {
		m.series = m.series[:n-1]
	}
	m.progress.end()
}

// point adds a point for the interval that ends now.
func (m *monitor) point(at, length time.Duration) {
	m.recorder.collect(m.tally)
	failed := m.tally.refused + m.tally.broken + m.tally.unknown
	q := quantiles(m.tally.latency)
	p := report.Point{
		At: at.Seconds(), Length: length.Seconds(),
		Rate:     float64(m.tally.accepted) / length.Seconds(),
		FailRate: float64(failed) / length.Seconds(),
		P50:      q.P50, P95: q.P95, P99: q.P99, Max: q.Max,
	}
	if m.server != nil {
		cpu, resident, err := m.server.read()
		if err != nil && m.err == nil {
			m.err = err
		}
		p.CPU, p.Resident = cpu/length.Seconds(), resident
	}
	m.series = append(m.series, p)
	m.done += m.tally.accepted + failed
	m.failed += failed
	m.progress.show(p, m.done, m.failed)
}
