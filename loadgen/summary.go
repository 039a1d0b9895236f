package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// report puts the report together.
func (r *runner) report(m *monitor, self *meter) *report.Report {
	t := r.recorder.totals()
	elapsed := max(t.all.last.Sub(r.started), time.Microsecond)
	rep := &report.Report{
		Started: r.started, Setting: r.setting(), Elapsed: elapsed.Seconds(), Interrupted: r.interrupted,
		Setup: quantiles(t.setup), Connections: t.opened, Idle: r.Idle, Replies: t.replies, Resent: t.again, Series: m.series,
		Generator: self.process(t.all.accepted),
	}
	if m.server != nil {
		rep.Server = m.server.process(t.all.accepted)
	}
	rep.Phases = r.phaseReports(t.phases)
	rep.Total = phaseReport("all", t.all, elapsed)
	rep.Total.Due = int64(len(r.journal.entries))
	rep.Total.Unsent = unsent(rep.Total)
	for i, p := range r.phases {
		rep.Total.TargetRate += rep.Phases[i].TargetRate * p.length.Seconds() / r.length().Seconds()
	}
	return rep
}

// length returns how long an open loop's arrivals go on.
func (r *runner) length() (sum time.Duration) {
	for _, p := range r.phases {
		sum += p.length
	}
	return sum
}

// phaseReports returns what was counted of each phase of an open loop. What a
// phase left queued was sent in the time of the next ones: its rate is over
// the time until its last reply.
func (r *runner) phaseReports(tallies []*tally) []report.Phase {
	if r.phases == nil {
		return nil
	}
	due := make([]int64, len(r.phases))
	s := newSchedule(r.phases, r.Arrivals == "poisson", r.Seed)
	for a, ok := s.next(); ok; a, ok = s.next() {
		due[a.phase]++
	}
	var reports []report.Phase
	start := r.started
	for i, p := range r.phases {
		ph := phaseReport(p.name, tallies[i], max(p.length, tallies[i].last.Sub(start)))
		ph.TargetRate, ph.Due = (p.from+p.to)/2, due[i]
		ph.Unsent = unsent(ph)
		reports = append(reports, ph)
		start = start.Add(p.length)
	}
	return reports
}

// unsent returns how many messages of a phase nothing was recorded of.
func unsent(p report.Phase) int64 { return p.Due - p.Accepted - p.Refused - p.Broken - p.Unknown }

// phaseReport renders a tally of so long a time.
func phaseReport(name string, t *tally, length time.Duration) report.Phase {
	return report.Phase{
		Name: name, Accepted: t.accepted, Refused: t.refused, Broken: t.broken, Unknown: t.unknown,
		RefusedRcpts: t.refusedRcpts, Rate: float64(t.accepted) / length.Seconds(), Octets: t.octets,
		Latency: quantiles(t.latency), Service: quantiles(t.service), Curve: curve(t.latency),
	}
}

// setting says in words what load was put on what.
func (r *runner) setting() []report.Field {
	load := fmt.Sprintf("closed loop, %d connections", r.Connections)
	if r.phases != nil {
		names := make([]string, len(r.phases))
		for i, p := range r.phases {
			names[i] = p.name
		}
		load = fmt.Sprintf("open loop, %s arrivals, %s over %d connections", r.Arrivals, strings.Join(names, ", "), r.Connections)
	}
	if r.PerConn > 0 {
		load += fmt.Sprintf(", %d messages each", r.PerConn)
	}
	if r.Idle > 0 {
		load += fmt.Sprintf(", %d more idle", r.Idle)
	}
	sizes := make([]string, len(r.Size))
	for i, s := range r.Size {
		sizes[i] = fmt.Sprint(s.size)
		if len(r.Size) > 1 {
			sizes[i] += fmt.Sprintf(":%g", s.weight)
		}
	}
	accounts := fmt.Sprintf("%d, in turn", len(r.logins))
	if r.Skew > 0 {
		accounts = fmt.Sprintf("%d, Zipf %g", len(r.logins), r.Skew)
	}
	return []report.Field{
		{Name: "target", Value: r.target.String()},
		{Name: "load", Value: load},
		{Name: "messages", Value: fmt.Sprintf("%s octets, recipients %d", strings.Join(sizes, ", "), r.Recipients)},
		{Name: "smtp", Value: fmt.Sprintf("pipelining %s, bdat %s, tls %s, auth %s", r.Pipelining, r.BDAT, r.TLS, r.Auth)},
		{Name: "accounts", Value: accounts},
		{Name: "run", Value: r.run},
		{Name: "machine", Value: fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())},
	}
}
