package main

import (
	"errors"
	"testing"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// TestPeers sends mail through each peer that is installed, and compares what
// arrived.
func TestPeers(t *testing.T) {
	dir := t.TempDir()
	built, err := lab.Build(dir, "xoauth2-proxy/loadgen", "xoauth2-proxy/perf/sink")
	if err != nil {
		t.Fatal(err)
	}
	programs := lab.Programs{Loadgen: built[0], Sink: built[1]}
	sink, err := lab.StartSink(programs, dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Stop()
	for name, start := range map[string]func(lab.Programs, string, *lab.Provider) (*peer, error){
		"direct": func(lab.Programs, string, *lab.Provider) (*peer, error) {
			return &peer{name: "direct", addr: sink.Plain}, nil
		},
		"haproxy": startHAProxy,
		"nginx":   startNginx,
	} {
		t.Run(name, func(t *testing.T) {
			p, err := start(programs, t.TempDir(), sink)
			if errors.Is(err, errNotInstalled) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.process != nil {
				defer p.process.Stop()
			}
			m := &measurement{options: &options{}, programs: programs, sink: sink, runs: make(map[string][]*report.Report)}
			for _, pipelining := range []string{"off", "on"} {
				l := load{name: name, args: []string{"-c", "2", "-m", "3", "--rate", "100/s", "--duration", "200ms", "--pipelining", pipelining}}
				if err := m.one(l, p); err != nil {
					t.Fatal(err)
				}
			}
			for _, rep := range m.runs[name+"/"+p.name] {
				if rep.Total.Failed() != 0 || rep.Total.Accepted == 0 {
					t.Errorf("total = %+v", rep.Total)
				}
			}
		})
	}
	t.Run("smtp-source", func(t *testing.T) {
		perSecond, err := smtpSource(sink, 2, 1000, 20)
		if errors.Is(err, errNotInstalled) {
			t.Skip(err)
		}
		if err != nil || perSecond <= 0 {
			t.Errorf("%v a second, %v", perSecond, err)
		}
	})
}

func TestTable(t *testing.T) {
	peers := []*peer{{name: "direct to the sink"}, {name: "HAProxy, TCP mode", process: &lab.Process{}}, {name: "ours", process: &lab.Process{}}}
	m := &measurement{options: &options{}, peers: peers, runs: make(map[string][]*report.Report), source: []float64{5000}}
	for i, p := range peers {
		rep := &report.Report{Total: report.Phase{Rate: float64(100 * (i + 1)), Latency: report.Quantiles{P95: report.Millis(i)}}}
		if i > 0 {
			rep.Server = &report.Process{CPUPerMessage: float64(10 * i)}
		}
		for _, l := range loads {
			m.runs[l.name+"/"+p.name] = []*report.Report{rep}
		}
	}
	for _, l := range loads {
		table := m.table(l)
		for _, row := range table.Rows {
			if len(row) != len(table.Header) {
				t.Errorf("%s: %d cells in a row of %d", l.name, len(row), len(table.Header))
			}
		}
		ours := table.Rows[2]
		if ours[8] != "1.50" || ours[9] != "2.00" || l.open && ours[10] != "2.00" {
			t.Errorf("%s: ratios %v", l.name, ours[8:])
		}
	}
}

func TestSelected(t *testing.T) {
	for _, l := range loads {
		if got, err := selected([]string{l.name}); err != nil || len(got) != 1 || got[0].name != l.name {
			t.Errorf("%s: %v, %v", l.name, got, err)
		}
	}
	if _, err := selected([]string{"nothing"}); err == nil {
		t.Error("a load that is not there was selected")
	}
}
