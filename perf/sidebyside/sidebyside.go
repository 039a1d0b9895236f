// Package sidebyside measures the proxy beside what else one could put between an MTA
// and a submission server, with one loader and one sink in one run: nothing at
// all, HAProxy as a TCP tunnel, and nginx's mail proxy. The peers speak clear
// text to the sink, the proxy STARTTLS and XOAUTH2. perf/peers.sh installs
// them.
package sidebyside

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	lab.Repeated
	lab.Quick
	Loads   []string `placeholder:"NAME" help:"Only these loads: classic, pipelined, single, headline, high, distant."`
	Rates   []int    `placeholder:"N" help:"Also open loops at so many messages a second, the client pipelines: more places for the plot of latency over rate."`
	Partial bool     `help:"Measure without the peers that are not installed."`
}

// A load is one kind of load that all peers get.
type load struct {
	name, title string
	args        []string
	open        bool          // it has a rate, and so a latency that says something
	pace        time.Duration // that the sink takes for each message
}

// Accounts at a provider at a distance, and how long it takes for each message.
const (
	distantAccounts = 2000
	distantPace     = 50 * time.Millisecond
)

// loads are those of the goals: throughput and CPU in a closed loop, latency
// at the headline's rate and at fourteen times that, and at the headline's rate
// to a provider at a distance.
var loads = []load{
	{name: "classic", title: "100 connections, 20 messages of 10 KB each, step by step", args: []string{"-c", "100", "-m", "20"}},
	{name: "pipelined", title: "The same, the client pipelines", args: []string{"-c", "100", "-m", "20", "--pipelining", "on"}},
	{name: "single", title: "100 connections, one message each", args: []string{"-c", "100", "-m", "1"}},
	{name: "headline", title: "Open loop, 833 messages a second (50,000 a minute)", open: true,
		args: []string{"-c", "100", "-m", "100", "--rate", "833/s"}},
	openLoop("high", 12_000),
	{name: "distant", title: fmt.Sprintf("Open loop, 833 messages a second over %d accounts, a provider that takes %v", distantAccounts, distantPace),
		open: true, pace: distantPace, args: []string{"-c", "300", "-m", "20", "--rate", "833/s"}},
}

// openLoop is a load at a rate.
func openLoop(name string, rate int) load {
	return load{name: name, title: fmt.Sprintf("Open loop, %d messages a second, the client pipelines", rate), open: true,
		args: []string{"-c", "100", "-m", "100", "--rate", fmt.Sprintf("%d/s", rate), "--pipelining", "on"}}
}

// selected returns the loads that the command line names.
func selected(names []string) ([]load, error) {
	var some []load
	for _, name := range names {
		i := slices.IndexFunc(loads, func(l load) bool { return l.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no load %q", name)
		}
		some = append(some, loads[i])
	}
	if len(some) == 0 {
		return slices.Clone(loads), nil
	}
	return some, nil
}

// byPace groups loads by the pace of the sink that they need, those of the near
// one first.
func byPace(chosen []load) [][]load {
	var groups [][]load
	for _, pace := range []time.Duration{0, distantPace} {
		same := slices.DeleteFunc(slices.Clone(chosen), func(l load) bool { return l.pace != pace })
		if len(same) > 0 {
			groups = append(groups, same)
		}
	}
	return groups
}

// Run runs the command.
func (o *Command) Run() error {
	o.Shorten(&o.Repeated)
	chosen, err := selected(o.Loads)
	if err != nil {
		return err
	}
	for _, rate := range o.Rates {
		chosen = append(chosen, openLoop(fmt.Sprint(rate), rate))
	}
	return o.Bench(func(b *lab.Bench) {
		var tables []*lab.Table
		for _, same := range byPace(chosen) {
			accounts := lab.Accounts
			if same[0].pace > 0 {
				accounts = distantAccounts
			}
			m := &measurement{Command: o, Comparison: b.NewComparison(o.Time, accounts, same[0].pace)}
			m.addAll()
			tables = append(tables, m.measure(same)...)
			b.Close()
		}
		o.Write(o.Rounds, tables...)
	})
}

// A measurement is the comparison and what goes with it.
type measurement struct {
	*Command
	*lab.Comparison
	direct  *lab.Candidate
	haproxy *lab.Candidate // nil: not installed
	source  []float64      // smtp-source, messages a second
}

// addAll starts all that is compared.
func (m *measurement) addAll() {
	m.direct = m.AddDirect()
	m.haproxy = m.add(startHAProxy)
	m.add(startNginx)
	m.AddProxy("xoauth2-proxy, TLS and XOAUTH2 upstream", lab.Setup{})
}

// add starts a peer. It returns nil for one that is not installed, if that is
// no mistake.
func (m *measurement) add(start func(*lab.Bench, *lab.Provider) (*lab.Candidate, error)) *lab.Candidate {
	p, err := start(m.Bench, m.Sink)
	if m.missing(err) {
		return nil
	}
	m.Candidates = append(m.Candidates, p)
	return p
}

// missing reports whether err is only that a peer is not installed, if that is no
// mistake. All other errors end the measurement.
func (m *measurement) missing(err error) bool {
	if m.Partial && errors.Is(err, errNotInstalled) {
		fmt.Fprintf(os.Stderr, "without %v\n", err)
		return true
	}
	lab.Check(err)
	return false
}

// measure runs every load on every peer, once a round.
func (m *measurement) measure(chosen []load) (tables []*lab.Table) {
	for _, l := range chosen {
		if l.pace > 0 { // the latency of the first minute is not measured
			m.WarmUp(l.args...)
		}
	}
	for round := range m.Rounds {
		for _, l := range chosen {
			m.Round(round, l.name, l.args...)
			if l.name != "classic" {
				continue
			}
			perSecond, err := smtpSource(m.Sink, 100, 10<<10, int(2000*m.Repeated.Time.Seconds()))
			if !m.missing(err) {
				m.source = append(m.source, perSecond)
			}
		}
	}
	for _, l := range chosen {
		tables = append(tables, m.table(l))
	}
	return tables
}

// table renders a load's figures and their ratios to HAProxy's.
func (m *measurement) table(l load) *lab.Table {
	t := m.Table(l.title, l.name, m.haproxy)
	if l.open {
		t.Header = append(t.Header, "P95 over direct, ms")
		for i, who := range m.Candidates {
			over := "-"
			if who != m.direct {
				over = lab.Number(who.Figures(l.name).P95 - m.direct.Figures(l.name).P95)
			}
			t.Rows[i] = append(t.Rows[i], over)
		}
	}
	if l.name == "classic" && len(m.source) > 0 {
		row := slices.Repeat([]string{"-"}, len(t.Header))
		row[0], row[1] = "smtp-source to the sink, reusing connections", lab.Number(lab.Median(m.source))
		t.Rows = append(t.Rows, row)
	}
	return t
}
