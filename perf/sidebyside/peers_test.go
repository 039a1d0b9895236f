package sidebyside

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
	"xoauth2-proxy/perf/lab/labtest"
)

// TestPeers sends mail through each peer that is installed, and compares what
// arrived.
func TestPeers(t *testing.T) {
	labtest.Run(t, func(b *lab.Bench) {
		c := b.NewComparison(200*time.Millisecond, lab.Accounts, 0)
		for name, start := range map[string]func(*lab.Bench, *lab.Provider) (*lab.Candidate, error){
			"direct": func(_ *lab.Bench, sink *lab.Provider) (*lab.Candidate, error) {
				return &lab.Candidate{Name: "direct", Addr: sink.Plain}, nil
			},
			"haproxy": startHAProxy,
			"nginx":   startNginx,
		} {
			t.Run(name, func(t *testing.T) {
				p, err := start(b, c.Sink)
				if errors.Is(err, errNotInstalled) {
					t.Skip(err)
				}
				if err != nil {
					t.Fatal(err)
				}
				alone := &lab.Comparison{Bench: b, Sink: c.Sink, Time: c.Time, Candidates: []*lab.Candidate{p}}
				for round, pipelining := range []string{"off", "on"} {
					alone.Round(round, name, "-c", "2", "-m", "3", "--rate", "100/s", "--pipelining", pipelining)
				}
				if f := p.Figures(name); f.Runs != 2 || f.Failed != 0 || f.Rate == 0 {
					t.Errorf("figures = %+v", f)
				}
			})
		}
		t.Run("smtp-source", func(t *testing.T) {
			perSecond, err := smtpSource(c.Sink, 2, 1000, 20)
			if errors.Is(err, errNotInstalled) {
				t.Skip(err)
			}
			if err != nil || perSecond <= 0 {
				t.Errorf("%v a second, %v", perSecond, err)
			}
		})
	})
}

func TestTable(t *testing.T) {
	direct, haproxy := &lab.Candidate{Name: "direct to the sink"}, &lab.Candidate{Name: "HAProxy"}
	ours := &lab.Candidate{Name: "ours"}
	for i, who := range []*lab.Candidate{direct, haproxy, ours} {
		rep := &report.Report{Total: report.Phase{Rate: float64(100 * (i + 1)), Latency: report.Quantiles{P95: report.Millis(i)}}}
		if i > 0 {
			rep.Server = &report.Process{CPUPerMessage: float64(10 * i)}
		}
		for _, l := range loads {
			who.Note(l.name, rep)
		}
	}
	m := &measurement{Command: &Command{}, Comparison: &lab.Comparison{Candidates: []*lab.Candidate{direct, haproxy, ours}},
		direct: direct, haproxy: haproxy, source: []float64{5000}}
	for _, l := range loads {
		table := m.table(l)
		for _, row := range table.Rows {
			if len(row) != len(table.Header) {
				t.Errorf("%s: %d cells in a row of %d", l.name, len(row), len(table.Header))
			}
		}
		if row := table.Rows[2]; row[8] != "1.50" || row[9] != "2.00" || l.open && row[10] != "2.00" {
			t.Errorf("%s: ratios %v", l.name, row[8:])
		}
	}
	m.haproxy = nil // not installed: there is nothing to have a ratio to
	if row := m.table(loads[0]).Rows[1]; row[8] != "-" || row[9] != "-" {
		t.Errorf("without HAProxy: %v", row)
	}
}

func TestByPace(t *testing.T) {
	for _, tt := range []struct {
		names []string
		want  [][]string
	}{
		{nil, [][]string{{"classic", "pipelined", "single", "headline", "high"}, {"distant"}}},
		{[]string{"distant", "single", "classic"}, [][]string{{"single", "classic"}, {"distant"}}},
		{[]string{"high", "distant", "single"}, [][]string{{"high", "single"}, {"distant"}}},
		{[]string{"distant"}, [][]string{{"distant"}}},
		{[]string{"high"}, [][]string{{"high"}}},
	} {
		chosen, err := selected(tt.names)
		if err != nil {
			t.Fatal(err)
		}
		var got [][]string
		for _, same := range byPace(chosen) {
			var names []string
			for _, l := range same {
				names = append(names, l.name)
			}
			got = append(got, names)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: %v, want %v", tt.names, got, tt.want)
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
