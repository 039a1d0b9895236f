// Suite measures the proxy, with every feature on and TLS and XOAUTH2 to the
// sandbox, over a matrix of loads, and writes the tables for BENCHMARKS.md.
// Every run is proven: what was acknowledged was delivered, once, unaltered,
// under its account.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	Rounds int            `default:"5" help:"How often each cell is run; the figures are medians."`
	Time   time.Duration  `default:"5s" help:"Length of a run."`
	Quick  bool           `help:"A few cells, two rounds of two seconds: to see that all of it works."`
	Only   *regexp.Regexp `placeholder:"REGEXP" help:"Only the cells whose name matches, as in 'conn=100 .*size=10k'."`
	List   bool           `help:"Print the names of the cells and end."`
	Proxy  string         `placeholder:"FILE" help:"Measure this program instead of building one: that of another version."`
	Out    string         `short:"o" placeholder:"FILE" help:"Write the tables here as well."`
	Dir    string         `placeholder:"DIR" help:"Keep all reports, in JSON, here."`
}

func main() {
	var o options
	parser := kong.Must(&o, kong.Name("suite"), kong.Description("Measures the proxy over a matrix of loads against the sandbox."))
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "suite: %v (see --help)\n", err)
		os.Exit(2)
	}
	if err := run(&o); err != nil {
		fmt.Fprintf(os.Stderr, "suite: %v\n", err)
		os.Exit(1)
	}
}

// run measures and writes the tables.
func run(o *options) error {
	if o.Quick {
		o.Rounds, o.Time = 2, 2*time.Second
	}
	cells := selectCells(o)
	if o.List {
		for _, c := range cells {
			fmt.Println(c.name())
		}
		return nil
	}
	if len(cells) == 0 {
		return errors.New("no cell has such a name (see --list)")
	}
	dir, err := os.MkdirTemp("", "perf-suite-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs, err := lab.BuildAll(dir, o.Proxy)
	if err != nil {
		return err
	}
	b := &bench{options: o, programs: programs, dir: dir, stands: make(map[standKey]*stand)}
	defer b.stop()
	runs, err := b.measure(cells)
	if err != nil {
		return err
	}
	return write(o, cells, runs)
}

// A bench has the stands that the cells need, each started once.
type bench struct {
	*options
	programs lab.Programs
	dir      string
	stands   map[standKey]*stand
}

// A stand is a sandbox and a proxy that relays to it.
type stand struct {
	sandbox *lab.Provider
	proxy   *lab.Proxy
}

// stand returns the stand for the key.
func (b *bench) stand(key standKey) (*stand, error) {
	if s := b.stands[key]; s != nil {
		return s, nil
	}
	dir := filepath.Join(b.dir, fmt.Sprintf("stand-%d", len(b.stands)))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	sandbox, err := lab.StartSandbox(b.programs, dir, key.accounts, key.latency)
	if err != nil {
		return nil, err
	}
	// Twice what the most clients need if they spread evenly, since they do not.
	proxy, err := lab.StartProxy(b.programs, dir, sandbox, max(4, 2*mostConnections/key.accounts))
	if err != nil {
		sandbox.Stop()
		return nil, err
	}
	b.stands[key] = &stand{sandbox, proxy}
	return b.stands[key], nil
}

// stop ends all stands.
func (b *bench) stop() {
	for _, s := range b.stands {
		s.proxy.Stop()
		s.sandbox.Stop()
	}
}

// measure runs the cells, all of them once a round.
func (b *bench) measure(cells []cell) (map[cell][]*report.Report, error) {
	runs := make(map[cell][]*report.Report)
	for round := range b.Rounds {
		for i, c := range cells {
			s, err := b.stand(c.standKey)
			if err != nil {
				return nil, err
			}
			args := append(c.args(b.Time), "--target", s.proxy.Addr, "--sandbox", s.sandbox.API, "--accounts-file", s.sandbox.Accounts,
				"--proxy-metrics", s.proxy.Admin+"/metrics")
			rep, err := lab.Load(b.programs.Loadgen, args...)
			if err != nil {
				return nil, err
			}
			runs[c] = append(runs[c], rep)
			fmt.Fprintf(os.Stderr, "round %d of %d, cell %d of %d: %s: %.0f/s\n", round+1, b.Rounds, i+1, len(cells), c.name(), rep.Total.Rate)
			if b.Dir != "" {
				if err := keep(b.Dir, fmt.Sprintf("%s round=%d", c.name(), round+1), rep); err != nil {
					return nil, err
				}
			}
		}
	}
	return runs, nil
}

// keep writes a report to the folder.
func keep(dir, name string, rep *report.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, strings.NewReplacer(" ", "_", "/", "-").Replace(name)+".json"))
	if err != nil {
		return err
	}
	return errors.Join(rep.WriteJSON(f), f.Close())
}

// write writes the tables to standard output and to the file.
func write(o *options, cells []cell, runs map[cell][]*report.Report) error {
	out := io.Writer(os.Stdout)
	if o.Out != "" {
		f, err := os.Create(o.Out)
		if err != nil {
			return err
		}
		defer f.Close()
		out = io.MultiWriter(out, f)
	}
	if _, err := io.WriteString(out, lab.Heading("go run ./perf/suite "+strings.Join(os.Args[1:], " "), o.Rounds)); err != nil {
		return err
	}
	bad := 0
	for _, table := range tables(cells, runs, &bad) {
		if _, err := table.WriteTo(out); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d cells had failed messages or no proof", bad)
	}
	return nil
}
