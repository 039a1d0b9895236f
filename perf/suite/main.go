// Suite measures the proxy, with every feature on and TLS and XOAUTH2 to the
// sandbox, over a matrix of loads, and writes the tables for BENCHMARKS.md.
// Every run is proven: what was acknowledged was delivered, once, unaltered,
// under its account.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	lab.Common
	lab.Repeated
	Quick bool           `help:"A few cells, two rounds of two seconds: to see that all of it works."`
	Only  *regexp.Regexp `placeholder:"REGEXP" help:"Only the cells whose name matches, as in 'conn=100 .*size=10k'."`
	List  bool           `help:"Print the names of the cells and end."`
	Dir   string         `placeholder:"DIR" help:"Keep all reports, in JSON, here."`
}

func main() {
	var o options
	lab.Main("suite", "Measures the proxy over a matrix of loads against the sandbox.", &o, o.run)
}

// run is the command behind its flags.
func (o *options) run() error {
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
	if err := o.checkReports(cells); err != nil {
		return err
	}
	return o.Bench(func(b *lab.Bench) error {
		m := &measurement{options: o, bench: b, stands: make(map[standKey]*lab.Stand)}
		defer m.stop()
		runs, err := m.measure(cells)
		if err != nil {
			return err
		}
		bad := 0
		if err := o.Write("suite", o.Rounds, tables(cells, runs, &bad)...); err != nil {
			return err
		}
		if bad > 0 {
			return fmt.Errorf("%d cells had failed messages or no proof", bad)
		}
		return nil
	})
}

// A measurement has the stands that the cells need, each started once.
type measurement struct {
	*options
	bench  *lab.Bench
	stands map[standKey]*lab.Stand
}

// stand returns the stand for the key.
func (m *measurement) stand(key standKey) (s *lab.Stand, err error) {
	if m.stands[key] == nil {
		// Twice what the most clients need if they spread evenly, since they do not.
		m.stands[key], err = m.bench.NewStand(key.accounts, key.latency, lab.Setup{Connections: max(4, 2*mostConnections/key.accounts)})
	}
	return m.stands[key], err
}

// stop ends all stands.
func (m *measurement) stop() {
	for _, s := range m.stands {
		if s != nil { // it could be started
			s.Stop()
		}
	}
}

// measure runs the cells, all of them once a round.
func (m *measurement) measure(cells []cell) (map[cell][]*report.Report, error) {
	runs := make(map[cell][]*report.Report)
	for round := range m.Rounds {
		for i, c := range cells {
			s, err := m.stand(c.standKey)
			if err != nil {
				return nil, err
			}
			if c.perSecond > 0 { // its latency is that of a day, not that of the first minute
				if _, err := s.Load(c.args(m.Time)...); err != nil {
					return nil, err
				}
			}
			rep, err := s.Load(c.args(m.Time)...)
			if err != nil {
				return nil, err
			}
			runs[c] = append(runs[c], rep)
			fmt.Fprintf(os.Stderr, "round %d of %d, cell %d of %d: %s: %.0f/s\n", round+1, m.Rounds, i+1, len(cells), c.name(), rep.Total.Rate)
			if m.Dir == "" {
				continue
			}
			if err := keep(m.Dir, reportName(c, round), rep); err != nil {
				return nil, err
			}
		}
	}
	return runs, nil
}

// reportFile is the file of the report of that name.
func reportFile(dir, name string) string {
	return filepath.Join(dir, strings.NewReplacer(" ", "_", "/", "-").Replace(name)+".json")
}

// reportName is the name of the report of a round.
func reportName(c cell, round int) string { return fmt.Sprintf("%s round=%d", c.name(), round+1) }

// checkReports finds files in the way of the reports.
func (o *options) checkReports(cells []cell) error {
	var errs []error
	for _, c := range cells {
		for round := range o.Rounds {
			if o.Dir != "" {
				errs = append(errs, durable.CheckNew(reportFile(o.Dir, reportName(c, round))))
			}
		}
	}
	return errors.Join(errs...)
}

// keep writes a report to the folder.
func keep(dir, name string, rep *report.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return durable.WriteNew(reportFile(dir, name), rep.WriteJSON)
}
