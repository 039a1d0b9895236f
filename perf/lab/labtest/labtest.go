// Package labtest has what tests of the measuring commands need.
package labtest

import (
	"testing"

	"xoauth2-proxy/perf/lab"
)

// Run builds the programs and calls measure, which fails the test if it does.
func Run(t *testing.T, measure func(*lab.Bench)) {
	t.Helper()
	err := lab.Try(func() {
		b := lab.NewBench(t.TempDir(), lab.Programs{})
		defer b.Close()
		measure(b)
	})
	if err != nil {
		t.Fatal(err)
	}
}
