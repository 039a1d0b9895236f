package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// A Contender is one of what a Contest compares: something that takes
// submissions, and the process whose CPU time that costs.
type Contender struct {
	Name    string
	Addr    string
	Process *Process // nil: nothing between loader and sink
	runs    map[string][]*report.Report
}

// Note adds the report of a run of a load.
func (c *Contender) Note(load string, rep *report.Report) {
	if c.runs == nil {
		c.runs = make(map[string][]*report.Report)
	}
	c.runs[load] = append(c.runs[load], rep)
}

// Figures are the medians of the contender's runs of a load.
func (c *Contender) Figures(load string) Figures { return Summarize(c.runs[load]) }

// A Contest puts the same loads on all contenders, which relay to one sink.
type Contest struct {
	*Bench
	Sink       *Provider
	Contenders []*Contender
	Time       time.Duration // length of a run
}

// Accounts and connections of the proxies of a contest: enough of both, so that
// no message waits for one.
const (
	Accounts              = 50
	ConnectionsPerAccount = 10
)

// NewContest starts the sink of a contest; its contenders are to be entered.
func (b *Bench) NewContest(length time.Duration) (*Contest, error) {
	return b.NewDistantContest(length, Accounts, 0)
}

// NewDistantContest is NewContest for so many accounts at a provider that takes
// its pace to answer the end of a message.
func (b *Bench) NewDistantContest(length time.Duration, accounts int, pace time.Duration) (*Contest, error) {
	dir, err := b.Folder()
	if err != nil {
		return nil, err
	}
	sink, err := StartSink(b.Programs, dir, accounts, pace)
	if err != nil {
		return nil, err
	}
	return &Contest{Bench: b, Sink: sink, Time: length}, nil
}

// Round runs a load on every contender. In each round another one is the
// first, so that being it is no advantage.
func (c *Contest) Round(round int, load string, args ...string) error {
	for i := range c.Contenders {
		who := c.Contenders[(i+round)%len(c.Contenders)]
		rep, err := c.run(who, c.Time, args)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", load, who.Name, err)
		}
		who.Note(load, rep)
		fmt.Fprintf(os.Stderr, "round %d: %s: %s: %.0f/s\n", round+1, load, who.Name, rep.Total.Rate)
	}
	return nil
}

// warmUp is how long the runs of WarmUp are at least: at the headline's rate each of
// 2,000 accounts gets its connection to the provider in it.
const warmUp = 15 * time.Second

// WarmUp runs a load on every contender, of which nothing counts.
func (c *Contest) WarmUp(args ...string) error {
	for _, who := range c.Contenders {
		if _, err := c.run(who, max(c.Time, warmUp), args); err != nil {
			return fmt.Errorf("warming up %s: %w", who.Name, err)
		}
	}
	return nil
}

// run runs a load on a contender for so long and compares what the sink counted.
func (c *Contest) run(who *Contender, length time.Duration, args []string) (*report.Report, error) {
	before, err := c.Sink.Count()
	if err != nil {
		return nil, err
	}
	all := []string{"--profile", "bench", "--target", who.Addr, "--accounts-file", c.Sink.Accounts, "--duration", length.String()}
	if who.Process != nil {
		all = append(all, "--pid", strconv.Itoa(who.Process.PID()))
	}
	rep, err := Load(c.Programs.Loadgen, append(all, args...)...)
	if err != nil {
		return nil, err
	}
	after, err := c.Sink.Count()
	if err != nil {
		return nil, err
	}
	if taken := after - before; taken != rep.Total.Accepted {
		return nil, fmt.Errorf("%d messages were acknowledged, the sink took %d", rep.Total.Accepted, taken)
	}
	return rep, nil
}

// Over returns the median of the ratios to base of a quantity of the
// contender's runs of a load, each to the run of base in the same round, so that
// what slows the machine for some rounds is in neither; 0 if it is not known.
func (c *Contender) Over(base *Contender, load string, quantity func(*report.Report) float64) float64 {
	var ratios []float64
	for i, rep := range c.runs[load] {
		if base == nil || i >= len(base.runs[load]) {
			break
		}
		if to := quantity(base.runs[load][i]); to > 0 {
			ratios = append(ratios, quantity(rep)/to)
		}
	}
	return Median(ratios)
}

// Throughput is the accepted messages a second of a run.
func Throughput(r *report.Report) float64 { return r.Total.Rate }

// CPU is the server's microseconds a message of a run, 0 if they are unknown.
func CPU(r *report.Report) float64 {
	if r.Server == nil {
		return 0
	}
	return r.Server.CPUPerMessage
}

// Table renders the contenders' figures for a load, and their ratios to one of
// them, nil if that one does not take part.
func (c *Contest) Table(title, load string, base *Contender) *Table {
	name := "base"
	if base != nil {
		name, _, _ = strings.Cut(base.Name, ",")
	}
	t := &Table{Title: title, Header: []string{"", "msg/s", "CPU us/msg", "P50 ms", "P95 ms", "P99 ms", "RSS MB", "failed",
		"msg/s to " + name, "CPU to " + name}}
	for _, who := range c.Contenders {
		f := who.Figures(load)
		t.Add(who.Name, Number(f.Rate), Number(f.CPU), Number(f.P50), Number(f.P95), Number(f.P99), Number(f.Resident),
			strconv.FormatInt(f.Failed, 10), Number(who.Over(base, load, Throughput)), Number(who.Over(base, load, CPU)))
	}
	return t
}

// Stop ends all processes.
func (c *Contest) Stop() {
	for _, who := range c.Contenders {
		if who.Process != nil {
			who.Process.Stop()
		}
	}
	c.Sink.Stop()
}

// EnterDirect has the sink itself take part, without anything in between.
func (c *Contest) EnterDirect() *Contender {
	who := &Contender{Name: "direct to the sink", Addr: c.Sink.Plain}
	c.Contenders = append(c.Contenders, who)
	return who
}

// Enter has a proxy take part, with files and a process of its own, and with
// enough connections.
func (c *Contest) Enter(name string, setup Setup) (*Proxy, error) {
	dir, err := c.Folder()
	if err != nil {
		return nil, err
	}
	setup.Connections = ConnectionsPerAccount
	proxy, err := StartProxyWith(c.Programs, dir, c.Sink, setup)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.Contenders = append(c.Contenders, &Contender{Name: name, Addr: proxy.Addr, Process: proxy.Process})
	return proxy, nil
}
