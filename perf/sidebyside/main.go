// Sidebyside measures the proxy beside what else one could put between an MTA
// and a submission server, with one loader and one sink in one run: nothing at
// all, HAProxy as a TCP tunnel, and nginx's mail proxy. The peers speak clear
// text to the sink, the proxy STARTTLS and XOAUTH2. perf/peers.sh installs
// them.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	lab.Common
	lab.Repeated
	Quick   bool     `help:"Two rounds of two seconds: to see that all of it works."`
	Loads   []string `placeholder:"NAME" help:"Only these loads: classic, pipelined, single, headline, high, distant."`
	Partial bool     `help:"Measure without the peers that are not installed."`
}

func main() {
	var o options
	lab.Main("sidebyside", "Measures the proxy beside HAProxy and nginx: one loader, one sink, one run.", &o, o.run)
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
	{name: "high", title: "Open loop, 12,000 messages a second, the client pipelines", open: true,
		args: []string{"-c", "100", "-m", "100", "--rate", "12000/s", "--pipelining", "on"}},
	{name: "distant", title: fmt.Sprintf("Open loop, 833 messages a second over %d accounts, a provider that takes %v", distantAccounts, distantPace),
		open: true, pace: distantPace, args: []string{"-c", "300", "-m", "20", "--rate", "833/s"}},
}

// selected returns the loads that the command line names.
func selected(names []string) ([]load, error) {
	if len(names) == 0 {
		return loads, nil
	}
	var some []load
	for _, name := range names {
		found := false
		for _, l := range loads {
			if l.name == name {
				some, found = append(some, l), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no load %q", name)
		}
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

// run is the command behind its flags.
func (o *options) run() error {
	if o.Quick {
		o.Rounds, o.Time = 2, 2*time.Second
	}
	chosen, err := selected(o.Loads)
	if err != nil {
		return err
	}
	return o.Bench(func(b *lab.Bench) error {
		var tables []*lab.Table
		for _, same := range byPace(chosen) {
			accounts := lab.Accounts
			if same[0].pace > 0 {
				accounts = distantAccounts
			}
			c, err := b.NewDistantContest(o.Time, accounts, same[0].pace)
			if err != nil {
				return err
			}
			more, err := o.contest(c, same)
			if err != nil {
				return err
			}
			tables = append(tables, more...)
		}
		return o.Write("sidebyside", o.Rounds, tables...)
	})
}

// contest puts the loads on all peers of a contest that has none yet, and ends
// it.
func (o *options) contest(c *lab.Contest, loads []load) ([]*lab.Table, error) {
	defer c.Stop()
	m := &measurement{options: o, Contest: c}
	if err := m.enterAll(); err != nil {
		return nil, err
	}
	return m.measure(loads)
}

// A measurement is the contest and what is known beside it.
type measurement struct {
	*options
	*lab.Contest
	direct  *lab.Contender
	haproxy *lab.Contender // nil: not installed
	source  []float64      // smtp-source, messages a second
}

// enterAll starts all that is compared.
func (m *measurement) enterAll() error {
	m.direct = m.EnterDirect()
	haproxy, err := m.enter(startHAProxy)
	if err != nil {
		return err
	}
	m.haproxy = haproxy
	if _, err := m.enter(startNginx); err != nil {
		return err
	}
	_, err = m.Enter("xoauth2-proxy, TLS and XOAUTH2 upstream", lab.Setup{})
	return err
}

// enter starts a peer. It returns nil for one that is not installed, if that is
// no mistake.
func (m *measurement) enter(start func(string, *lab.Provider) (*lab.Contender, error)) (*lab.Contender, error) {
	dir, err := m.Folder()
	if err != nil {
		return nil, err
	}
	p, err := start(dir, m.Sink)
	if errors.Is(err, errNotInstalled) && m.Partial {
		fmt.Fprintf(os.Stderr, "without %v\n", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m.Contenders = append(m.Contenders, p)
	return p, nil
}

// measure runs every load on every peer, once a round.
func (m *measurement) measure(chosen []load) ([]*lab.Table, error) {
	for _, l := range chosen {
		if l.pace > 0 { // its latency is that of a day, not that of the first minute
			if err := m.WarmUp(l.args...); err != nil {
				return nil, err
			}
		}
	}
	for round := range m.Rounds {
		for _, l := range chosen {
			if err := m.Round(round, l.name, l.args...); err != nil {
				return nil, err
			}
			if l.name != "classic" {
				continue
			}
			perSecond, err := smtpSource(m.Sink, 100, 10<<10, int(2000*m.options.Time.Seconds()))
			if err != nil && !(m.Partial && errors.Is(err, errNotInstalled)) {
				return nil, err
			}
			if err == nil {
				m.source = append(m.source, perSecond)
			}
		}
	}
	var tables []*lab.Table
	for _, l := range chosen {
		tables = append(tables, m.table(l))
	}
	return tables, nil
}

// table renders a load's figures and their ratios to HAProxy's.
func (m *measurement) table(l load) *lab.Table {
	t := m.Table(l.title, l.name, m.haproxy)
	if l.open {
		t.Header = append(t.Header, "P95 over direct, ms")
		for i, who := range m.Contenders {
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
		t.Add(row...)
	}
	return t
}
