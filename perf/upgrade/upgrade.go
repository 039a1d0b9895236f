// Package upgrade has a running proxy replaced by a new process of the same program, again and
// again, under a steady load, and counts what clients notice of it:
//
//	go run ./perf upgrade
//
// is 20 upgrades under 1,000 messages a second. The loader sends again what is refused for now,
// as an MTA does. The run fails if a connection is refused, if a message is lost, comes twice or
// has no answer, or if a mailbox has more connections than it may, counted by the provider over
// the old and the new process together.
//
// With --by restart the proxy is stopped and started instead: what an upgrade is for, and the
// proof that the program sees what it looks for.
package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	Upgrades int           `default:"20" help:"How many."`
	Every    time.Duration `default:"5s" help:"Time from one upgrade to the next one."`
	Rate     string        `default:"1000/s" help:"Messages to send, as for the load generator."`
	Accounts int           `default:"500" help:"Number of accounts."`
	Pace     time.Duration `default:"20ms" help:"How long the provider takes to answer the end of a message."`
	Clients  int           `short:"c" default:"200" help:"Connections of the load."`
	PerConn  int           `short:"m" default:"5" help:"Messages on a connection of the load."`
	By       string        `default:"upgrade" enum:"upgrade,restart" help:"How the new process comes: upgrade, or restart for comparison."`
	P99      time.Duration `name:"p99" help:"Fail if the latency's P99 is above this; 0: only tell."`
}

// perAccount is the connections of each account: as many as Microsoft 365 allows.
const perAccount = 3

// An old process ends its sessions over evictOver and its messages within drain: it has to have
// ended before the next upgrade.
const (
	evictOver = 2 * time.Second
	drain     = 5 * time.Second
)

// tail is how long the load goes on after the last upgrade.
const tail = 10 * time.Second

// AfterApply checks the options.
func (o *Command) AfterApply() error {
	if o.Upgrades < 1 || o.Every < time.Second {
		return errors.New("--upgrades is below 1, or --every below 1s")
	}
	return o.Common.AfterApply()
}

// Run runs the command.
func (o *Command) Run() error { return o.Bench(o.measure) }

func (o *Command) measure(b *lab.Bench) {
	r := o.run(b)
	o.Write(0, r.table(o))
	lab.Check(errors.Join(r.failures(o)...))
}

// result is what a run has shown.
type result struct {
	load  *report.Report
	took  []float64 // of each upgrade, in seconds
	peaks []sandbox.Peaks
}

// run puts the load on a proxy and has it replaced meanwhile.
func (o *Command) run(b *lab.Bench) *result {
	s := b.NewStand(lab.Sandbox{Accounts: o.Accounts, Preset: "gmail", Latency: o.Pace}, lab.Setup{Connections: perAccount,
		Sections: map[string]any{"server": map[string]any{"evict_over": evictOver.String(), "drain_timeout": drain.String()}, "log": map[string]any{"level": "error"}}})
	defer s.Stop()
	r := &result{}
	done := make(chan error, 1)
	length := time.Duration(o.Upgrades)*o.Every + tail
	go func() {
		done <- lab.Try(func() {
			r.load = b.Load("--target", s.Addr, "--sandbox", s.Sandbox.API, "--accounts-file", s.Sandbox.Accounts, "--profile", "bench",
				"--connections", strconv.Itoa(o.Clients), "--messages-per-connection", strconv.Itoa(o.PerConn), "--rate", o.Rate, "--duration", length.String(), "--resend", "1m")
		})
	}()
	pid := s.PID()
	next := time.Now()
	for range o.Upgrades {
		next = next.Add(o.Every)
		time.Sleep(time.Until(next))
		start, old := time.Now(), pid
		if o.By == "restart" {
			s.Restart()
			pid = s.PID()
		} else {
			pid = upgrade(b, s.Proxy, old)
		}
		r.took = append(r.took, time.Since(start).Seconds())
		if !awaitEnd(old, evictOver+2*drain) {
			lab.Failf("process %d has not ended after it was replaced", old)
		}
	}
	lab.Check(<-done)
	lab.Check(json.Unmarshal(lab.Get(s.Sandbox.API+"/peaks"), &r.peaks))
	return r
}

// upgrade has the proxy replaced, and returns the process id of the new one. That process is
// not our child: it ends with the bench all the same.
func upgrade(b *lab.Bench, p *lab.Proxy, old int) (pid int) {
	if out, err := exec.Command(b.Programs.Proxy, "upgrade", "--config", p.Config).CombinedOutput(); err != nil {
		lab.Failf("upgrade: %w: %s", err, strings.TrimSpace(string(out)))
	}
	var now struct{ PID int }
	lab.Check(json.Unmarshal(lab.Get(p.Admin+"/admin/info"), &now))
	if now.PID == old || now.PID < 2 {
		lab.Failf("after an upgrade process %d answers, and before it was %d", now.PID, old)
	}
	b.Defer(func() { end(now.PID) })
	return now.PID
}

// end ends a process that is not our child, and waits for it.
func end(pid int) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		_ = syscall.Kill(pid, signal) // it may have ended
		if awaitEnd(pid, 10*time.Second) {
			return
		}
	}
}

// awaitEnd waits until a process has ended, and reports whether it has.
func awaitEnd(pid int, patience time.Duration) bool {
	for deadline := time.Now().Add(patience); !hasEnded(pid); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// hasEnded reports whether there is no such process any more, or only what its parent has not
// asked for.
func hasEnded(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(state, "Z")
}
