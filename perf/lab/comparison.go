package lab

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// A Candidate is one of what a Comparison compares: something that takes
// submissions, and the process whose CPU time that costs.
type Candidate struct {
	Name    string
	Addr    string
	Process *Process // nil: nothing between loader and sink
	runs    map[string][]*report.Report
}

// Note adds the report of a run of a load.
func (c *Candidate) Note(load string, rep *report.Report) {
	if c.runs == nil {
		c.runs = make(map[string][]*report.Report)
	}
	c.runs[load] = append(c.runs[load], rep)
}

// Figures are the medians of the candidate's runs of a load.
func (c *Candidate) Figures(load string) Figures { return Summarize(c.runs[load]) }

// Over returns the ratios to base of a quantity of the candidate's runs of a load, each to
// the run of base in the same round, so that what slows the machine for some rounds
// is in neither.
func (c *Candidate) Over(base *Candidate, load string, quantity func(*report.Report) float64) Ratios {
	var ratios Ratios
	for i, rep := range c.runs[load] {
		if base == nil || i >= len(base.runs[load]) {
			break
		}
		if to := quantity(base.runs[load][i]); to > 0 {
			ratios = append(ratios, quantity(rep)/to)
		}
	}
	return ratios
}

// Ratios are those of the rounds of a comparison.
type Ratios []float64

// Median is the one in the middle, 0 if there is none.
func (r Ratios) Median() float64 { return Median(r) }

// String renders the median and the interquartile range.
func (r Ratios) String() string {
	if len(r) < 4 {
		return Number(r.Median())
	}
	return fmt.Sprintf("%s (%s to %s)", Number(r.Median()), Number(Quantile(r, .25)), Number(Quantile(r, .75)))
}

// A Comparison puts the same loads on all candidates, which relay to one sink.
type Comparison struct {
	*Bench
	Sink       *Provider
	Candidates []*Candidate
	Time       time.Duration // length of a run
}

// Accounts and connections of the proxies of a comparison: enough of both, so that
// no message waits for one.
const (
	Accounts              = 50
	ConnectionsPerAccount = 10
)

// NewComparison starts the sink of a comparison, for so many accounts; it takes its
// pace to answer the end of a message. The candidates are to be added.
func (b *Bench) NewComparison(length time.Duration, accounts int, pace time.Duration) *Comparison {
	return &Comparison{Bench: b, Sink: b.StartSink(accounts, pace), Time: length}
}

// AddDirect has the sink itself take part, without anything in between.
func (c *Comparison) AddDirect() *Candidate {
	who := &Candidate{Name: "direct to the sink", Addr: c.Sink.Plain}
	c.Candidates = append(c.Candidates, who)
	return who
}

// AddProxy has a proxy take part, with enough connections.
func (c *Comparison) AddProxy(name string, setup Setup) *Proxy {
	setup.Connections = ConnectionsPerAccount
	proxy := c.StartProxy(c.Sink, setup)
	c.Candidates = append(c.Candidates, &Candidate{Name: name, Addr: proxy.Addr, Process: proxy.Process})
	return proxy
}

// Round runs a load on every candidate. In each round another one is the
// first, so that being it is no advantage.
func (c *Comparison) Round(round int, load string, args ...string) {
	for i := range c.Candidates {
		who := c.Candidates[(i+round)%len(c.Candidates)]
		rep := c.Run(who, c.Time, args...)
		who.Note(load, rep)
		fmt.Fprintf(os.Stderr, "round %d: %s: %s: %.0f/s\n", round+1, load, who.Name, rep.Total.Rate)
	}
}

// warmUp is how long the runs of WarmUp are at least: at the headline's rate each of
// 2,000 accounts gets its connection to the provider in it.
const warmUp = 15 * time.Second

// WarmUp runs a load on every candidate, of which nothing counts.
func (c *Comparison) WarmUp(args ...string) {
	for _, who := range c.Candidates {
		c.Run(who, max(c.Time, warmUp), args...)
	}
}

// Run runs a load on a candidate for so long and compares what the sink counted.
func (c *Comparison) Run(who *Candidate, length time.Duration, args ...string) *report.Report {
	before := c.Sink.Count()
	all := []string{"--profile", "bench", "--target", who.Addr, "--accounts-file", c.Sink.Accounts, "--duration", length.String()}
	if who.Process != nil {
		all = append(all, "--pid", strconv.Itoa(who.Process.PID()))
	}
	rep := c.Load(append(all, args...)...)
	if taken := c.Sink.Count() - before; taken != rep.Total.Accepted {
		Failf("%s: %d messages were acknowledged, the sink took %d", who.Name, rep.Total.Accepted, taken)
	}
	return rep
}

// Table renders the candidates' figures for a load, and their ratios to one of
// them, nil if that one does not take part.
func (c *Comparison) Table(title, load string, base *Candidate) *Table {
	name := "base"
	if base != nil {
		name, _, _ = strings.Cut(base.Name, ",")
	}
	t := &Table{Title: title, Header: slices.Concat([]string{""}, FigureNames, []string{"msg/s to " + name, "CPU to " + name})}
	for _, who := range c.Candidates {
		t.Add(slices.Concat([]any{who.Name}, who.Figures(load).Cells(), []any{who.Over(base, load, Throughput), who.Over(base, load, CPU)})...)
	}
	return t
}
