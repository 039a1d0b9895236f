// Sidebyside measures the proxy beside what else one could put between an MTA
// and a submission server, with one loader and one sink in one run: nothing at
// all, HAProxy as a TCP tunnel, and nginx's mail proxy. The peers speak clear
// text to the sink, the proxy STARTTLS and XOAUTH2. perf/peers.sh installs
// them.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	Rounds  int           `default:"5" help:"How often each peer has its turn in each load; the figures are medians."`
	Time    time.Duration `default:"5s" help:"Length of a run."`
	Quick   bool          `help:"Two rounds of two seconds: to see that all of it works."`
	Loads   []string      `placeholder:"NAME" help:"Only these loads: classic, pipelined, single, headline, high."`
	Partial bool          `help:"Measure without the peers that are not installed."`
	Proxy   string        `placeholder:"FILE" help:"Measure this program instead of building one: that of another version."`
	Out     string        `short:"o" placeholder:"FILE" help:"Write the tables here as well."`
}

func main() {
	var o options
	parser := kong.Must(&o, kong.Name("sidebyside"), kong.Description("Measures the proxy beside HAProxy and nginx: one loader, one sink, one run."))
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "sidebyside: %v (see --help)\n", err)
		os.Exit(2)
	}
	if err := run(&o); err != nil {
		fmt.Fprintf(os.Stderr, "sidebyside: %v\n", err)
		os.Exit(1)
	}
}

// A load is one kind of load that all peers get.
type load struct {
	name, title string
	args        []string
	open        bool // it has a rate, and so a latency that says something
}

// loads are those of the goals: throughput and CPU in a closed loop, latency
// at the headline's rate and at fourteen times that.
var loads = []load{
	{"classic", "100 connections, 20 messages of 10 KB each, step by step", []string{"-c", "100", "-m", "20"}, false},
	{"pipelined", "The same, the client pipelines", []string{"-c", "100", "-m", "20", "--pipelining", "on"}, false},
	{"single", "100 connections, one message each", []string{"-c", "100", "-m", "1"}, false},
	{"headline", "Open loop, 833 messages a second (50,000 a minute)", []string{"-c", "100", "-m", "100", "--rate", "833/s"}, true},
	{"high", "Open loop, 12,000 messages a second, the client pipelines",
		[]string{"-c", "100", "-m", "100", "--rate", "12000/s", "--pipelining", "on"}, true},
}

// accounts and connectionsPerAccount are those of the proxy: enough of both,
// so that no message waits for one.
const (
	accounts              = 50
	connectionsPerAccount = 10
)

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

// run measures and writes the tables.
func run(o *options) (err error) {
	if o.Quick {
		o.Rounds, o.Time = 2, 2*time.Second
	}
	chosen, err := selected(o.Loads)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "perf-sidebyside-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs, err := lab.BuildAll(dir, o.Proxy)
	if err != nil {
		return err
	}
	sink, err := lab.StartSink(programs, dir, accounts)
	if err != nil {
		return err
	}
	defer sink.Stop()
	peers, err := startPeers(o, programs, dir, sink)
	defer func() {
		for _, p := range peers {
			if p.process != nil {
				p.process.Stop()
			}
		}
	}()
	if err != nil {
		return err
	}
	m := &measurement{options: o, programs: programs, sink: sink, peers: peers, runs: make(map[string][]*report.Report)}
	tables, err := m.measure(chosen)
	if err != nil {
		return err
	}
	return write(o, tables)
}

// startPeers starts all that is compared.
func startPeers(o *options, programs lab.Programs, dir string, sink *lab.Provider) ([]*peer, error) {
	peers := []*peer{{name: "direct to the sink", addr: sink.Plain}}
	for i, start := range []func(lab.Programs, string, *lab.Provider) (*peer, error){startHAProxy, startNginx, startProxy} {
		own := filepath.Join(dir, "peer-"+strconv.Itoa(i))
		if err := os.Mkdir(own, 0o755); err != nil {
			return peers, err
		}
		p, err := start(programs, own, sink)
		if errors.Is(err, errNotInstalled) && o.Partial {
			fmt.Fprintf(os.Stderr, "without %v\n", err)
			continue
		}
		if err != nil {
			return peers, err
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// A measurement is what is measured with, and the reports so far.
type measurement struct {
	*options
	programs lab.Programs
	sink     *lab.Provider
	peers    []*peer
	runs     map[string][]*report.Report // by load and peer
	source   []float64                   // smtp-source, messages a second
}

// measure runs every load on every peer, once a round.
func (m *measurement) measure(chosen []load) ([]*lab.Table, error) {
	for round := range m.Rounds {
		for _, l := range chosen {
			for i := range m.peers {
				p := m.peers[(i+round)%len(m.peers)] // nobody is always the first
				if err := m.one(l, p); err != nil {
					return nil, fmt.Errorf("%s, %s: %w", l.name, p.name, err)
				}
				fmt.Fprintf(os.Stderr, "round %d of %d: %s: %s\n", round+1, m.Rounds, l.name, p.name)
			}
			if l.name != "classic" {
				continue
			}
			perSecond, err := smtpSource(m.sink, 100, 10<<10, int(2000*m.Time.Seconds()))
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

// one runs a load on a peer and compares what the sink counted.
func (m *measurement) one(l load, p *peer) error {
	before, err := m.count()
	if err != nil {
		return err
	}
	args := append([]string{"--profile", "bench", "--target", p.addr, "--accounts-file", m.sink.Accounts, "--duration", m.Time.String()}, l.args...)
	if p.process != nil {
		args = append(args, "--pid", strconv.Itoa(p.process.PID()))
	}
	rep, err := lab.Load(m.programs.Loadgen, args...)
	if err != nil {
		return err
	}
	after, err := m.count()
	if err != nil {
		return err
	}
	if taken := after - before; taken != rep.Total.Accepted {
		return fmt.Errorf("%d messages were acknowledged, the sink took %d", rep.Total.Accepted, taken)
	}
	key := l.name + "/" + p.name
	m.runs[key] = append(m.runs[key], rep)
	return nil
}

// count asks the sink how many messages it took.
func (m *measurement) count() (int64, error) {
	resp, err := http.Get(m.sink.API + "/count")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// table renders a load's figures and their ratios to HAProxy's.
func (m *measurement) table(l load) *lab.Table {
	t := &lab.Table{Title: l.title, Header: []string{"", "msg/s", "CPU us/msg", "P50 ms", "P95 ms", "P99 ms", "RSS MB", "failed", "msg/s to HAProxy", "CPU to HAProxy", "P95 over direct, ms"}}
	figures := make([]lab.Figures, len(m.peers))
	var haproxy, direct lab.Figures
	for i, p := range m.peers {
		figures[i] = lab.Summarize(m.runs[l.name+"/"+p.name])
		switch {
		case p.process == nil:
			direct = figures[i]
		case strings.HasPrefix(p.name, "HAProxy"):
			haproxy = figures[i]
		}
	}
	for i, p := range m.peers {
		f := figures[i]
		over := "-"
		if l.open && p.process != nil {
			over = lab.Number(f.P95 - direct.P95)
		}
		t.Add(p.name, lab.Number(f.Rate), lab.Number(f.CPU), lab.Number(f.P50), lab.Number(f.P95), lab.Number(f.P99), lab.Number(f.Resident),
			strconv.FormatInt(f.Failed, 10), lab.Ratio(f.Rate, haproxy.Rate), lab.Ratio(f.CPU, haproxy.CPU), over)
	}
	if l.name == "classic" && len(m.source) > 0 {
		t.Add("smtp-source to the sink, reusing connections", lab.Number(lab.Median(m.source)), "-", "-", "-", "-", "-", "0", "-", "-", "-")
	}
	return t
}

// write writes the tables to standard output and to the file.
func write(o *options, tables []*lab.Table) error {
	out := io.Writer(os.Stdout)
	if o.Out != "" {
		f, err := os.Create(o.Out)
		if err != nil {
			return err
		}
		defer f.Close()
		out = io.MultiWriter(out, f)
	}
	if _, err := io.WriteString(out, lab.Heading("go run ./perf/sidebyside "+strings.Join(os.Args[1:], " "), o.Rounds)); err != nil {
		return err
	}
	for _, t := range tables {
		if _, err := t.WriteTo(out); err != nil {
			return err
		}
	}
	return nil
}
