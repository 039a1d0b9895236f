// Endurance runs the headline's rate for minutes on end, over many accounts, to
// a sandbox that takes its time to answer, and tells what the proxy added to
// the latency, whether anything was lost or came twice, and its memory by the
// minute:
//
//	go run ./perf/endurance
//
// is ten minutes of 833 messages a second over 2,000 accounts to a provider that
// takes 50 ms, behind a minute in which the accounts connect. A minute before it
// and a minute behind it the same load goes to such a provider without the
// proxy: what the proxy adds is the difference. Exit code 1 if a message was not
// accepted, was lost, came twice or altered; latency and memory are for the
// reader to judge.
package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	lab.Common
	Duration    time.Duration `default:"10m" help:"How long the load lasts."`
	WarmUp      time.Duration `default:"1m" help:"The same load ahead of that, of which only loss counts: until the accounts have their connections to the provider."`
	Baseline    time.Duration `default:"1m" help:"How long the same load goes to the provider without the proxy, ahead of all that and again behind it; 0: not at all, as a --proxy of a version without such a sandbox needs."`
	Rate        string        `default:"833/s" help:"Messages to send, as for the load generator: 833/s is by second, 50k a minute."`
	Accounts    int           `default:"2000" help:"Number of accounts."`
	Pace        time.Duration `default:"50ms" help:"How long the provider takes to answer the end of a message."`
	Connections int           `short:"c" default:"300" help:"Connections of the load."`
	Every       time.Duration `default:"1m" help:"How often the memory is noted."`
}

func main() {
	var o options
	lab.Main("endurance", "Runs the headline's rate for minutes on end, with proof of delivery.", &o, func() error { return o.Bench(o.measure) })
}

// perAccount is the connections of each account: as many as Microsoft 365
// allows.
const perAccount = 3

// measure is the command behind its flags.
func (o *options) measure(b *lab.Bench) error {
	before, err := o.direct(b)
	if err != nil {
		return err
	}
	rep, err := o.proxied(b)
	if err != nil {
		return err
	}
	after, failed := o.direct(b) // if that fails, the long run still has something to say
	tables := []*lab.Table{o.verdict(rep)}
	if before != nil && after != nil {
		tables = append(tables, o.added(rep, before, after))
	}
	if err := o.Write("endurance", 0, append(tables, o.memory(rep.Series))...); err != nil {
		return err
	}
	if rep.Failing() {
		return errors.New("messages failed, or the proof did")
	}
	return failed
}

// load are the load generator's flags for so long a run.
func (o *options) load(length time.Duration) []string {
	return []string{"--profile", "bench", "--connections", strconv.Itoa(o.Connections), "--rate", o.Rate, "--duration", length.String()}
}

// proxied runs the load through the proxy.
func (o *options) proxied(b *lab.Bench) (*report.Report, error) {
	s, err := b.NewStand(o.Accounts, o.Pace, lab.Setup{Connections: perAccount})
	if err != nil {
		return nil, err
	}
	defer s.Stop()
	if o.WarmUp > 0 {
		rep, err := s.Load(o.load(o.WarmUp)...)
		if err != nil {
			return nil, err
		}
		if rep.Failing() {
			return nil, errors.New("messages failed in the warm-up, or its proof did")
		}
	}
	return s.Load(o.load(o.Duration)...)
}

// verdict renders what the run as a whole has shown.
func (o *options) verdict(rep *report.Report) *lab.Table {
	total, q := rep.Total, rep.Total.Latency
	t := &lab.Table{Title: fmt.Sprintf("%s for %v over %d accounts, a provider that takes %v", o.Rate, o.Duration, o.Accounts, o.Pace),
		Header: []string{"what", "value"}}
	t.Add("messages due, accepted, failed", fmt.Sprintf("%d, %d, %d", total.Due, total.Accepted, total.Failed()))
	t.Add("messages a second", lab.Number(total.Rate))
	t.Add("P50, P95, P99, P99.9, most, ms", fmt.Sprintf("%v, %v, %v, %v, %v", q.P50, q.P95, q.P99, q.P999, q.Max))
	pace := report.Millis(o.Pace.Seconds() * 1000)
	t.Add("of it over the provider's own time, P50, P95, P99, ms", fmt.Sprintf("%v, %v, %v", q.P50-pace, q.P95-pace, q.P99-pace))
	if p := rep.Server; p != nil {
		t.Add("CPU, us a message", lab.Number(p.CPUPerMessage))
		t.Add("resident memory, most, MB", lab.Number(float64(p.PeakResident)/1e6))
	}
	if p := rep.Proof; p != nil {
		t.Add("acknowledged, delivered", fmt.Sprintf("%d, %d", p.Acknowledged, p.Delivered))
		t.Add("lost, twice, altered, under another account", fmt.Sprintf("%d, %d, %d, %d", p.Missing, p.Duplicated, p.Altered, p.Misattributed))
	}
	return t
}

// memory renders what the proxy had resident at the end of each interval, and
// the latency within it.
func (o *options) memory(series []report.Point) *lab.Table {
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
		t.Add((time.Duration(p.At) * time.Second).String(), lab.Number(float64(p.Resident)/1e6), lab.Number(count/length), worst.String(), most.String())
		last, worst, most, count, length = p, 0, 0, 0, 0
	}
	return t
}
