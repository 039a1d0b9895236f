package suite

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// TestMatrix: cells are what they are told apart by, and their flags are ones
// that the load generator takes together.
func TestMatrix(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range allCells() {
		if names[c.name()] {
			t.Errorf("%s is there twice", c.name())
		}
		names[c.name()] = true
		if open := strings.Contains(strings.Join(c.args(time.Second), " "), "--rate"); open != (c.perSecond > 0) {
			t.Errorf("%s: %v", c.name(), c.args(time.Second))
		}
	}
	if n := len(names); n != 4*2*3+3*3 {
		t.Errorf("%d cells", n)
	}
}

func TestSelectCells(t *testing.T) {
	if n := len(selectCells(&Command{Quick: lab.Quick{Quick: true}})); n == 0 || n > 6 {
		t.Errorf("%d cells are quick", n)
	}
	only := regexp.MustCompile(`conn=100 .*size=10k .*accounts=50$`)
	for _, c := range selectCells(&Command{Only: only}) {
		if c.connections != 100 || c.size != "10k" {
			t.Errorf("%s was selected", c.name())
		}
	}
}

func TestTables(t *testing.T) {
	cells := selectCells(&Command{Quick: lab.Quick{Quick: true}})
	runs := make(map[cell][]*report.Report)
	for _, c := range cells {
		runs[c] = []*report.Report{{Total: report.Phase{Rate: 833}, Proof: &report.Proof{Holds: true}}}
	}
	bad := 0
	both := tables(cells, runs, &bad)
	if len(both) != 2 || len(both[0].Rows)+len(both[1].Rows) != len(cells) || bad != 0 {
		t.Errorf("%d tables, %d bad", len(both), bad)
	}
	for _, table := range both {
		for _, row := range table.Rows {
			if len(row) != len(table.Header) {
				t.Errorf("%s: %d cells in a row of %d", table.Title, len(row), len(table.Header))
			}
		}
	}
	runs[cells[0]][0].Proof.Holds = false
	if tables(cells, runs, &bad); bad != 1 {
		t.Errorf("%d bad, want the one without proof", bad)
	}
}
