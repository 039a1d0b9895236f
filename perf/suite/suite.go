// Package suite measures the proxy, with every feature on and TLS and XOAUTH2 to the
// sandbox, over a matrix of loads. Every run is proven: what was acknowledged was
// delivered, once, unaltered, under its account.
package suite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	lab.Repeated
	lab.Quick
	Only *regexp.Regexp `placeholder:"REGEXP" help:"Only the cells whose name matches, as in 'conn=100 .*size=10k'."`
	List bool           `help:"Print the names of the cells and end."`
	Dir  string         `placeholder:"DIR" help:"Keep all reports, in JSON, here."`
}

// Run runs the command.
func (o *Command) Run() error {
	o.Shorten(&o.Repeated)
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
	return o.Bench(func(b *lab.Bench) {
		bad := 0
		runs := o.measure(b, cells)
		o.Write(o.Rounds, tables(cells, runs, &bad)...)
		if bad > 0 {
			lab.Failf("%d cells had failed messages or no proof", bad)
		}
	})
}

// measure runs the cells, all of them once a round, on stands that are started once.
func (o *Command) measure(b *lab.Bench, cells []cell) map[cell][]*report.Report {
	stands := make(map[standKey]*lab.Stand)
	runs := make(map[cell][]*report.Report)
	for round := range o.Rounds {
		for i, c := range cells {
			if stands[c.standKey] == nil {
				// Twice what the most clients need if they spread evenly, since they do not.
				stands[c.standKey] = b.NewStand(lab.Sandbox{Accounts: c.accounts, Latency: c.latency},
					lab.Setup{Connections: max(4, 2*mostConnections/c.accounts)})
			}
			s := stands[c.standKey]
			if c.perSecond > 0 { // the latency of the first minute is not measured
				s.Load(c.args(o.Time)...)
			}
			rep := s.Load(c.args(o.Time)...)
			runs[c] = append(runs[c], rep)
			fmt.Fprintf(os.Stderr, "round %d of %d, cell %d of %d: %s: %.0f/s\n", round+1, o.Rounds, i+1, len(cells), c.name(), rep.Total.Rate)
			if o.Dir != "" {
				lab.Check(os.MkdirAll(o.Dir, 0o755))
				lab.Check(durable.WriteNew(o.reportFile(c, round), rep.WriteJSON))
			}
		}
	}
	return runs
}

// reportFile is the file of the report of a round.
func (o *Command) reportFile(c cell, round int) string {
	name := fmt.Sprintf("%s round=%d", c.name(), round+1)
	return filepath.Join(o.Dir, strings.NewReplacer(" ", "_", "/", "-").Replace(name)+".json")
}

// checkReports finds files in the way of the reports.
func (o *Command) checkReports(cells []cell) error {
	var errs []error
	for _, c := range cells {
		for round := 0; round < o.Rounds && o.Dir != ""; round++ {
			errs = append(errs, durable.CheckNew(o.reportFile(c, round)))
		}
	}
	return errors.Join(errs...)
}
