package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/perf/accounting"
	"xoauth2-proxy/perf/accounts"
	"xoauth2-proxy/perf/endurance"
	"xoauth2-proxy/perf/features"
	"xoauth2-proxy/perf/idle"
	"xoauth2-proxy/perf/overload"
	"xoauth2-proxy/perf/plot"
	"xoauth2-proxy/perf/profile"
	"xoauth2-proxy/perf/scale"
	"xoauth2-proxy/perf/sidebyside"
	"xoauth2-proxy/perf/sink"
	"xoauth2-proxy/perf/soak"
	"xoauth2-proxy/perf/suite"
	"xoauth2-proxy/perf/syscalls"
	"xoauth2-proxy/perf/upgrade"
	"xoauth2-proxy/perf/variants"
)

// commands is the command line.
type commands struct {
	Suite      suite.Command      `cmd:"" help:"Measure a matrix of connections, sizes, provider latencies and numbers of accounts, with proof of delivery."`
	Sidebyside sidebyside.Command `cmd:"" help:"Measure the proxy beside HAProxy and nginx (peers.sh installs them): one loader, one sink, one run."`
	Variants   variants.Command   `cmd:"" help:"Compare settings of the environment and the configuration, or several builds, by the same load in interleaved rounds."`
	Features   features.Command   `cmd:"" help:"Measure what metrics, limits, logging and accounting cost a message."`
	Endurance  endurance.Command  `cmd:"" help:"Run the headline's rate for minutes on end to a provider at a distance, with proof and memory by the minute."`
	Syscalls   syscalls.Command   `cmd:"" help:"Count the system calls for each message, with strace."`
	Profile    profile.Command    `cmd:"" help:"Profile a proxy under load, with flame graphs, and compare two runs."`
	Idle       idle.Command       `cmd:"" help:"Measure what idle and slow clients cost the proxy and others."`
	Overload   overload.Command   `cmd:"" help:"Measure overload, and many accounts with few connections each."`
	Accounts   accounts.Command   `cmd:"" help:"Measure what ten thousand accounts cost at the start, at rest and at a reload."`
	Accounting accounting.Command `cmd:"" help:"Run load with faults and kills; fail unless the accounting log sums up to what clients were told and the provider has."`
	Upgrade    upgrade.Command    `cmd:"" help:"Replace a running proxy under load, again and again; fail if a client notices, or a mailbox has too many connections."`
	Scale      scale.Command      `cmd:"" help:"Have several proxies send for the same mailboxes while their store fails; fail if a mailbox exceeds a limit over all of them, or a message is lost or doubled."`
	Soak       soak.Command       `cmd:"" help:"Run load, faults, reloads, restarts and rests; fail on any loss, double or growth, and on a proxy that is busy at rest."`
	Plot       plot.Command       `cmd:"" help:"Draw the plots of BENCHMARKS.md from the figures in docs/perf/plots.json."`
	Sink       sink.Command       `cmd:"" hidden:"" help:"Be the provider of a comparison."`
}

func main() {
	parser := kong.Must(new(commands), kong.Name("perf"), kong.Description("Measures the speed of the whole path."),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 110}))
	chosen, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "perf: %v (see --help)\n", err)
		os.Exit(2)
	}
	if err := chosen.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "perf: %v\n", err)
		os.Exit(1)
	}
}
