package lab_test

import (
	"errors"
	"testing"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
	"xoauth2-proxy/perf/lab/labtest"
)

// TestStands puts loads on real proxies: one by itself, with proof, one in
// dry-run mode, and two side by side.
func TestStands(t *testing.T) {
	labtest.Run(t, func(b *lab.Bench) {
		t.Run("proof", func(t *testing.T) { testProof(t, b) })
		t.Run("dry run", func(t *testing.T) {
			s := b.NewStand(lab.Sandbox{Accounts: 3}, lab.Setup{Connections: 2, Args: []string{"--dry-run"}})
			rep := b.Load("--target", s.Addr, "--accounts-file", s.Sandbox.Accounts, "-c", "4", "--messages", "60",
				"--dry-run", "--proxy-metrics", s.Admin+"/metrics")
			if rep.Failing() || rep.DryRun == nil || *rep.DryRun != (report.DryRun{Holds: true, Acknowledged: 60, Counted: 60}) {
				t.Errorf("%+v", rep)
			}
		})
		t.Run("comparison", func(t *testing.T) { testComparison(t, b) })
		t.Run("client", func(t *testing.T) { testClient(t, b) })
	})
}

func testProof(t *testing.T, b *lab.Bench) {
	for _, sandbox := range []lab.Sandbox{{Accounts: 3, Latency: time.Millisecond},
		{Accounts: 3, Preset: "gmail", SMTP: lab.FreeAddress(), HTTP: lab.FreeAddress()}, {Accounts: 3, Preset: "outlook", Connections: 2}} {
		s := b.NewStand(sandbox, lab.Setup{Connections: 2})
		load := func() {
			rep := s.Load("-c", "4", "--messages", "30", "--accounts", "3")
			if rep.Failing() || rep.Proof == nil || rep.Proof.Delivered != 30 || rep.Server == nil {
				t.Errorf("%+v: %+v", sandbox, rep)
			}
		}
		load()
		if s.Reload() <= 0 {
			t.Error("a reload took no time")
		}
		if n := s.Metrics().Of(`messages_total{result="delivered"}`); n != 30 {
			t.Errorf("the proxy counted %v", n)
		}
		if err := lab.Try(func() { s.Metrics().Of("no_such_metric") }); err == nil {
			t.Error("a metric that is not there has a value")
		}
		if sandbox.SMTP != "" {
			s.Sandbox.Restart()
			s.Restart()
			load()
		}
		s.Stop()
	}
}

func testComparison(t *testing.T, b *lab.Bench) {
	c := b.NewComparison(200*time.Millisecond, lab.Accounts, 0)
	c.AddDirect()
	c.AddProxy("one", lab.Setup{})
	c.AddProxy("other", lab.Setup{Env: []string{"GOGC=50"}, Sections: map[string]any{"log": map[string]any{"level": "error"}}})
	for round := range 2 {
		c.Round(round, "load", "-c", "3", "--rate", "100/s")
	}
	table := c.Table("Title", "load", c.Candidates[1])
	for i, who := range c.Candidates {
		if f := who.Figures("load"); f.Runs != 2 || f.Failed != 0 || f.Rate == 0 || len(table.Rows[i]) != len(table.Header) {
			t.Errorf("%s: %+v, %v", who.Name, f, table.Rows[i])
		}
	}
}

// testClient: what a server says decides between an answer, a refusal and an error.
func testClient(t *testing.T, b *lab.Bench) {
	s := b.NewStand(lab.Sandbox{Accounts: 2, Preset: "gmail"}, lab.Setup{Connections: 2})
	_, err := lab.Open(lab.Must(lab.Dial(s.Addr, nil)), "nobody@bench.test")
	if _, refused := errors.AsType[lab.Refusal](err); !refused {
		t.Errorf("a login of no account: %v", err)
	}
	c := lab.Must(lab.Open(lab.Must(lab.Dial(s.Addr, nil)), lab.Login(1)))
	lab.Check(c.Envelope(2))
	if ended, err := c.Data("Subject: x\r\n\r\n.dot\r\n"); !ended || err != nil {
		t.Errorf("%v, %v", ended, err)
	}
	if ended, err := c.Data("x\r\n"); ended || err == nil {
		t.Errorf("content without an envelope: %v, %v", ended, err)
	}
	lab.Check(c.Ask("QUIT", '2'))
	if err := c.Ask("NOOP", '2'); err == nil {
		t.Error("a closed connection gave a reply")
	}
}
