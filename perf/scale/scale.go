// Package scale has several proxies send for the same mailboxes, while what they share their
// limits in fails in all ways, and compares what the provider counted over all of them with the
// limits:
//
//	go run ./perf scale
//
// A mailbox may have three connections at any instant, and so many messages in any minute,
// wherever it begins. Each phase has a fault and a load of its own, with proof of delivery: lost
// and doubled messages, those of unknown fate, the P99. Two phases compare the latency of
// accounts that use one proxy each, with and without sharing.
//
// What the proxies share is a choice: redis, a redis-server of the run's own; divided, where each
// has its part of every limit and there is nothing to share; and nothing, where each has the
// whole, to prove that the program sees what it looks for.
//
//	scale.go    the command line, and the phases
//	stand.go    the processes and their files
//	redis.go    the store
//	faults.go   what goes wrong
//	verdict.go  the sums
package scale

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	Share    string        `default:"redis" enum:"redis,divided,nothing" help:"What the proxies have in common: redis, divided (each a part of every limit) or nothing (each the whole limit, which has to fail)."`
	Proxies  int           `default:"4" help:"How many."`
	Accounts int           `default:"400" help:"Number of accounts; each is used through every proxy."`
	Rate     int           `default:"833" help:"Messages a second, over all proxies."`
	Phase    time.Duration `default:"30s" help:"Length of the load of a phase, at least; it is as long as its fault needs."`
	Pace     time.Duration `default:"50ms" help:"How long the provider takes to answer the end of a message."`
	Clients  int           `short:"c" default:"50" help:"Connections of the load to each proxy."`
	Faults   []string      `placeholder:"NAME" help:"These faults only."`
	Quick    bool          `help:"Without the faults that take longer than half a minute, in phases of ten seconds."`
}

// connections is the limit of a mailbox: Microsoft 365's.
const connections = 3

// aMinute is the limit of a mailbox on messages in a minute: a fifth more than it sends on
// average, which it exceeds now and then.
func (o *Command) aMinute() int { return max(o.Proxies, o.Rate*60*6/5/o.Accounts) }

// AfterApply checks the options.
func (o *Command) AfterApply() error {
	if o.Quick {
		o.Phase = 10 * time.Second
	}
	if o.Proxies < 1 || o.Accounts < o.Proxies || o.Rate < o.Proxies || o.Phase < time.Second {
		return errors.New("a number is too small")
	}
	if o.Share == "divided" && o.Proxies > connections {
		return fmt.Errorf("--share divided: %d connections cannot be divided among more proxies", connections)
	}
	for _, name := range o.Faults {
		if !slices.ContainsFunc(faults, func(f fault) bool { return f.name == name }) {
			return fmt.Errorf("--faults: there is no %q", name)
		}
	}
	return o.Common.AfterApply()
}

// Run runs the command.
func (o *Command) Run() error { return o.Bench(o.measure) }

func (o *Command) measure(b *lab.Bench) {
	phases := o.run(b)
	o.Write(0, o.table(phases))
	lab.Check(errors.Join(o.failures(phases)...))
}

// phase is what one load has shown.
type phase struct {
	name  string
	loads []*report.Report // of each proxy
	peaks []sandbox.Peaks
	store float64 // CPU of the store, as a part of one CPU
	// excused are the connections, and forgotten the messages in a minute, that a mailbox
	// may have above its limit: see fault.
	excused, forgotten int
	complaint          error
}

// run runs all phases.
func (o *Command) run(b *lab.Bench) (phases []*phase) {
	s := newStand(b, o)
	note := func(p *phase) {
		phases = append(phases, p)
		fmt.Println(o.line(p))
	}
	if o.Share == "redis" {
		s.shareNothing()
		note(s.load("one proxy each, nothing shared", s.homes, o.Phase, nil))
		s.shareAll()
		note(s.load(atHome, s.homes, o.Phase, nil))
	}
	note(s.load("all proxies", s.all, o.Phase, nil))
	for _, f := range faults {
		switch {
		case len(o.Faults) > 0 && !slices.Contains(o.Faults, f.name),
			f.ofStore && o.Share != "redis", o.Quick && f.lasts > 30*time.Second:
			continue
		}
		note(s.load(f.name, s.all, max(o.Phase, f.lasts+settle), &f))
	}
	return phases
}

// atHome is the name of the phase whose latency is compared with the first one.
const atHome = "one proxy each, shared"

// settle is how long a load goes on after its fault.
const settle = 10 * time.Second

// load puts a load on each proxy, with the accounts of a file, and has a fault strike a while
// after it began.
func (s *stand) load(name string, accounts []string, length time.Duration, f *fault) *phase {
	p := &phase{name: name, loads: make([]*report.Report, len(s.proxies))}
	lab.Call(http.MethodDelete, s.sandbox.API+"/peaks", nil)
	busy, start := s.storeCPU(), time.Now()
	errs := make([]error, len(s.proxies)+1)
	var running sync.WaitGroup
	for i, proxy := range s.proxies {
		running.Go(func() {
			errs[i] = lab.Try(func() {
				p.loads[i] = s.bench.Load("--target", proxy.Addr, "--sandbox", s.sandbox.API, "--accounts-file", accounts[i], "--profile", "bench",
					"--connections", strconv.Itoa(s.Clients), "--rate", fmt.Sprintf("%d/s", s.Rate/s.Proxies), "--duration", length.String(),
					"--resend", "2m", "--drain", "2m", "--seed", strconv.Itoa(i+1))
			})
		})
	}
	if f != nil {
		time.Sleep(settle / 2)
		errs[len(s.proxies)] = lab.Try(func() { p.complaint = f.strike(s) })
		switch {
		case s.store != nil:
			p.excused = f.excused
		case f.forgets:
			p.forgotten = s.aMinute() / s.Proxies
		}
	}
	running.Wait()
	lab.Check(errors.Join(errs...))
	p.store = max(0, s.storeCPU()-busy) / time.Since(start).Seconds()
	lab.Check(json.Unmarshal(lab.Get(s.sandbox.API+"/peaks"), &p.peaks))
	return p
}

// line is what is said of a phase while the run goes on.
func (o *Command) line(p *phase) string { return strings.Join(o.cells(p), ", ") }
