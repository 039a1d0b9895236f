package lab

import (
	"testing"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// TestStands puts loads on real proxies: one by itself, with proof, one in
// dry-run mode, and two side by side.
func TestStands(t *testing.T) {
	dir := t.TempDir()
	programs, err := BuildAll(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	b := &Bench{Programs: programs, Dir: dir}
	t.Run("proof", func(t *testing.T) {
		s, err := b.NewStand(3, time.Millisecond, Setup{Connections: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		rep, err := s.Load("-c", "4", "--messages", "60", "--accounts", "3")
		if err != nil || rep.Failing() || rep.Proof == nil || rep.Proof.Delivered != 60 || rep.Server == nil {
			t.Errorf("%+v, %v", rep, err)
		}
		if n, err := s.Proxy.Metric(`messages_total{result="delivered"}`); n != 60 || err != nil {
			t.Errorf("the proxy counted %v, %v", n, err)
		}
		if _, err := s.Proxy.Metric("no_such_metric"); err == nil {
			t.Error("a metric that is not there has a value")
		}
	})
	t.Run("dry run", func(t *testing.T) {
		s, err := b.NewStand(3, 0, Setup{Connections: 2, Args: []string{"--dry-run"}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		rep, err := Load(programs.Loadgen, "--target", s.Proxy.Addr, "--accounts-file", s.Sandbox.Accounts, "-c", "4", "--messages", "60",
			"--dry-run", "--proxy-metrics", s.Proxy.Admin+"/metrics")
		if err != nil || rep.Failing() || rep.DryRun == nil || *rep.DryRun != (report.DryRun{Holds: true, Acknowledged: 60, Counted: 60}) {
			t.Errorf("%+v, %v", rep, err)
		}
	})
	t.Run("contest", func(t *testing.T) {
		c, err := b.NewContest(200 * time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Stop()
		for name, setup := range map[string]Setup{
			"one": {}, "other": {Env: []string{"GOGC=50"}, Sections: map[string]any{"log": map[string]any{"level": "error"}}},
		} {
			if _, err := c.Enter(name, setup); err != nil {
				t.Fatal(err)
			}
		}
		for round := range 2 {
			if err := c.Round(round, "load", "-c", "3", "--rate", "100/s"); err != nil {
				t.Fatal(err)
			}
		}
		table := c.Table("Title", "load", c.Contenders[0])
		for i, who := range c.Contenders {
			if f := who.Figures("load"); f.Runs != 2 || f.Failed != 0 || f.Rate == 0 || len(table.Rows[i]) != len(table.Header) {
				t.Errorf("%s: %+v, %v", who.Name, f, table.Rows[i])
			}
		}
	})
}

func TestCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		"go run ./perf/x":                    nil,
		"go run ./perf/x --time 5s":          {"--time", "5s"},
		`go run ./perf/x 'a b' '{"c":1}' ''`: {"a b", `{"c":1}`, ""},
		`go run ./perf/x 'it'\''s'`:          {"it's"},
	} {
		if got := commandLine("x", args); got != want {
			t.Errorf("%q: %s, want %s", args, got, want)
		}
	}
}
