package scale

import (
	"errors"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/loadgen/report"
)

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
