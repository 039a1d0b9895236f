// Package endurance runs the headline's rate for minutes on end, over many accounts, to
// a sandbox that takes its time to answer, and tells what the proxy added to
// the latency, whether anything was lost or came twice, and its memory by the
// minute:
//
//	go run ./perf endurance
//
// is ten minutes of 833 messages a second over 2,000 accounts to a provider that
// takes 50 ms, after a minute in which the accounts connect. A minute before it
// and a minute after it the same load goes to such a provider without the
// proxy: what the proxy adds is the difference. Exit code 1 if a message was not
// accepted, was lost, came twice or altered; latency and memory are for the
// reader to judge.
package endurance

import (
	"fmt"
	"strconv"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	Duration    time.Duration `default:"10m" help:"How long the load lasts."`
	WarmUp      time.Duration `default:"1m" help:"The same load before that, until the accounts have their connections to the provider; only loss counts in it."`
	Baseline    time.Duration `default:"1m" help:"How long the same load goes to the provider without the proxy, before and after; 0: not at all, which a --proxy needs whose version has no such sandbox."`
	Rate        string        `default:"833/s" help:"Messages to send, as for the load generator: 833/s is by second, 50k a minute."`
	Accounts    int           `default:"2000" help:"Number of accounts."`
	Pace        time.Duration `default:"50ms" help:"How long the provider takes to answer the end of a message."`
	Connections int           `short:"c" default:"300" help:"Connections of the load."`
	Every       time.Duration `default:"1m" help:"How often the memory is noted."`
}

// perAccount is the connections of each account: as many as Microsoft 365
// allows.
const perAccount = 3

// Run runs the command.
func (o *Command) Run() error { return o.Bench(o.measure) }

func (o *Command) measure(b *lab.Bench) {
	before := o.direct(b)
	rep := o.proxied(b)
	var after *report.Report
	failed := lab.Try(func() { after = o.direct(b) }) // if that fails, the long run still has something to say
	tables := []*lab.Table{o.verdict(rep)}
	if before != nil && after != nil {
		tables = append(tables, o.added(rep, before, after))
	}
	o.Write(0, append(tables, o.memory(rep.Series))...)
	if rep.Failing() {
		lab.Failf("messages failed, or the proof did")
	}
	lab.Check(failed)
}

// load are the load generator's flags for so long a run.
func (o *Command) load(length time.Duration) []string {
	return []string{"--profile", "bench", "--connections", strconv.Itoa(o.Connections), "--rate", o.Rate, "--duration", length.String()}
}

// proxied runs the load through the proxy.
func (o *Command) proxied(b *lab.Bench) *report.Report {
	s := b.NewStand(lab.Sandbox{Accounts: o.Accounts, Latency: o.Pace}, lab.Setup{Connections: perAccount})
	defer s.Stop()
	if o.WarmUp > 0 && s.Load(o.load(o.WarmUp)...).Failing() {
		lab.Failf("messages failed in the warm-up, or its proof did")
	}
	return s.Load(o.load(o.Duration)...)
}

// verdict renders what the run as a whole has shown.
func (o *Command) verdict(rep *report.Report) *lab.Table {
	total, q := rep.Total, rep.Total.Latency
	t := &lab.Table{Title: fmt.Sprintf("%s for %v over %d accounts, a provider that takes %v", o.Rate, o.Duration, o.Accounts, o.Pace),
		Header: []string{"what", "value"}}
	t.Add("messages due, accepted, failed", lab.List(total.Due, total.Accepted, total.Failed()))
	t.Add("messages a second", total.Rate)
	t.Add("P50, P95, P99, P99.9, most, ms", lab.List(q.P50, q.P95, q.P99, q.P999, q.Max))
	pace := report.Millis(o.Pace.Seconds() * 1000)
	t.Add("of it over the provider's own time, P50, P95, P99, ms", lab.List(q.P50-pace, q.P95-pace, q.P99-pace))
	if p := rep.Server; p != nil {
		t.Add("CPU, us a message", p.CPUPerMessage)
		t.Add("resident memory, most, MB", float64(p.PeakResident)/1e6)
	}
	if p := rep.Proof; p != nil {
		t.Add("acknowledged, delivered", lab.List(p.Acknowledged, p.Delivered))
		t.Add("lost, twice, altered, under another account", lab.List(p.Missing, p.Duplicated, p.Altered, p.Misattributed))
	}
	return t
}

// memory renders what the proxy had resident at the end of each interval, and
// the latency within it.
func (o *Command) memory(series []report.Point) *lab.Table {
	t := &lab.Table{Title: "Memory over time", Header: []string{"after", "resident MB", "msg/s", "highest P95 ms", "most ms"}}
	var last report.Point
	var worst, most report.Millis
	count, length := 0.0, 0.0
	for i, p := range series {
		worst, most = max(worst, p.P95), max(most, p.Max)
		count, length = count+p.Rate*p.Length, length+p.Length
		if p.At-last.At < o.Every.Seconds() && i < len(series)-1 {
			continue
		}
		t.Add(time.Duration(p.At)*time.Second, float64(p.Resident)/1e6, count/length, worst, most)
		last, worst, most, count, length = p, 0, 0, 0, 0
	}
	return t
}
