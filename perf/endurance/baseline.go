package endurance

import (
	"fmt"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// settle is how long the load of a baseline runs before it counts. There are no
// connections to the provider to wait for, so it need not be the warm-up's time.
const settle = 5 * time.Second

// direct runs the load to a sandbox of its own without the proxy, nil if that is
// not asked for. The loader does what it does with the proxy, so the sandbox
// takes it in clear and with passwords: TLS and tokens are a part of what the
// proxy adds. In all else it is the sandbox that the proxy relays to, with the
// proof that it keeps.
func (o *Command) direct(b *lab.Bench) *report.Report {
	if o.Baseline <= 0 {
		return nil
	}
	sandbox := b.StartSandbox(lab.Sandbox{Accounts: o.Accounts, Latency: o.Pace, Preset: "gmail", InClear: true, SMTP: lab.FreeAddress()})
	defer sandbox.Stop()
	load := func(length time.Duration) *report.Report {
		rep := b.Load(append([]string{"--target", sandbox.Plain, "--sandbox", sandbox.API, "--accounts-file", sandbox.Accounts}, o.load(length)...)...)
		if rep.Failing() {
			lab.Failf("messages failed in the baseline, or its proof did")
		}
		return rep
	}
	if o.WarmUp > 0 {
		load(min(o.WarmUp, settle))
	}
	return load(o.Baseline)
}

// added renders the latency with the proxy, without it, and the difference.
func (o *Command) added(rep, before, after *report.Report) *lab.Table {
	t := &lab.Table{Title: fmt.Sprintf("What the proxy adds: the same load to such a provider without it, in clear, for %v before and after", o.Baseline),
		Header: []string{"", "msg/s", "P50 ms", "P95 ms", "P99 ms"}}
	row := func(name string, reports ...*report.Report) lab.Figures {
		f := lab.Summarize(reports)
		t.Add(name, f.Rate, f.P50, f.P95, f.P99)
		return f
	}
	with := row("through the proxy", rep)
	row("without it, before", before)
	row("without it, after", after)
	without := row("without it, mean of both", before, after)
	t.Add("added by the proxy; the bar is a P95 of 2 ms", "-",
		with.P50-without.P50, with.P95-without.P95, with.P99-without.P99)
	return t
}
