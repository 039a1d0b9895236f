package scale

import (
	"errors"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
	"xoauth2-proxy/perf/lab/labtest"
)

// TestNothingShared: proxies that have the whole limit each exceed it together, and those that
// have a part each do not. The program sees both.
func TestNothingShared(t *testing.T) {
	labtest.Run(t, func(b *lab.Bench) {
		for share, fails := range map[string]bool{"nothing": true, "divided": false} {
			o := &Command{Share: share, Proxies: 3, Accounts: 3, Rate: 60, Phase: 3 * time.Second, Pace: 100 * time.Millisecond, Clients: 9,
				Faults: []string{"none"}}
			phases := o.run(b)
			err := errors.Join(o.failures(phases)...)
			if fails != (err != nil && strings.Contains(err.Error(), "too many connections at an instant")) || !fails && err != nil {
				t.Errorf("%s: %v\n%v", share, err, o.table(phases))
			}
		}
	})
}

func TestFailures(t *testing.T) {
	o := &Command{Proxies: 1, Accounts: 10, Rate: 10}
	good := func() *phase {
		return &phase{name: "p", loads: []*report.Report{{Total: report.Phase{Due: 9, Accepted: 8, Unknown: 1},
			Proof: &report.Proof{Holds: true, Uncertain: 1}}},
			peaks: []sandbox.Peaks{{Connections: 1}, {Connections: connections}}}
	}
	if err := errors.Join(o.failures([]*phase{good()})...); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*phase){
		"p: 2 messages were lost":          func(p *phase) { p.loads[0].Proof.Missing = 2 },
		"p: 1 messages came twice":         func(p *phase) { p.loads[0].Proof.Duplicated = 1 },
		"p: 1 messages were altered":       func(p *phase) { p.loads[0].Proof.Unacknowledged = 1 },
		"p: 1 mailboxes had too many conn": func(p *phase) { p.peaks[1].Connections++ },
		"p: no message was accepted":       func(p *phase) { p.loads[0].Total.Accepted = 0 },
		"p: the order was lost":            func(p *phase) { p.complaint = errors.New("the order was lost") },
	} {
		p := good()
		spoil(p)
		if err := errors.Join(o.failures([]*phase{p})...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	excused := good()
	excused.peaks[1].Connections, excused.excused = connections+2, 2
	if err := errors.Join(o.failures([]*phase{excused})...); err != nil {
		t.Error(err)
	}
}
