// Package soak runs load, faults, reloads and restarts against the proxy for as long as
// asked, with rests between them, keeps a ledger of what was acknowledged, and fails
// on any loss, any message that arrived twice, any growth of memory, goroutines or
// descriptors, and any account that does not send after a rest. Proxy and sandbox
// are processes of their own, on loopback.
//
// How it is put together:
//
//	soak.go     the command line, and the table at the end
//	stand.go    the processes, their files, their restarts
//	rounds.go   the rounds and the audits between them
//	sender.go   one SMTP client
//	ledger.go   what the clients know, against what the provider has
//	trouble.go  what goes wrong meanwhile: at the provider, and in the network on both sides
//	rest.go     failures and a time without anything after them
//	growth.go   what the proxy uses, over its life
//
// A round ends with all faults cleared and all clients quiet: then the two
// ledgers must agree, and what the proxy uses is comparable with the end of
// other rounds. The proxy is restarted under load, by SIGTERM and SIGKILL in
// turn; the sandbox, which forgets everything, between rounds.
//
// Now and then there is a rest: all accounts fail, in ways that an account pauses or
// waits for an operator for, and then nothing happens for some time. The proxy must
// be at rest then too, and all accounts send afterwards.
//
// Exit codes: 0 all well; 1 a loss, a double, growth, a rest that was none, or a
// process that failed; 2 usage error.
package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Built
	Duration time.Duration `default:"60s" help:"How long to run, from 30s up."`
	Rate     int           `default:"200" help:"Messages a second, at most."`
	Clients  int           `default:"12" help:"Connections that send at one time."`
	Accounts int           `default:"20" help:"Accounts of the proxy; a reload may take up to half of them away."`
	Rests    int           `default:"-1" help:"How often there are failures and then a rest; -1 is once, or once in ten minutes."`
	Rest     time.Duration `help:"How long a rest is; 0 is 95s, or 5s in runs below 5m."`
	Seed     uint64        `help:"Seed of all that is random; 0 takes one from the clock."`
	Growth   int64         `default:"48" help:"Growth of resident memory within a life of the proxy that fails the run, in MiB; less than a fifth is always allowed."`
	Verbose  bool          `short:"v" help:"Tell of each fault, reload and restart."`
	spacing  time.Duration // of the rests
}

// AfterApply completes the options.
func (o *Command) AfterApply() (err error) {
	if o.Duration < 30*time.Second || o.Rate < 1 || o.Clients < 1 || o.Accounts < 2 {
		return errors.New("--duration is below 30s, or a number is too small")
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	o.spacing, err = o.planRests()
	return err
}

// Run runs the command.
func (o *Command) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	return o.Bench(func(b *lab.Bench) {
		s := newStand(b, o.Accounts)
		fmt.Printf("soak: %v with seed %d\n", o.Duration, o.Seed)
		r := newSoak(o, s)
		err := lab.Try(func() { r.rounds(ctx) })
		fmt.Print(r.summary())
		lab.Check(errors.Join(append(r.failures, err)...))
	})
}

// summary is the table at the end.
func (r *soak) summary() *lab.Table {
	t := &lab.Table{Title: "Soak", Header: []string{"what", "count"}}
	elapsed := time.Since(r.started)
	t.Add("duration", elapsed.Round(time.Second))
	for class, n := range r.total.fates {
		t.Add("messages "+fateNames[class], n)
	}
	t.Add("accepted a second", float64(r.total.fates[accepted])/elapsed.Seconds())
	for i, n := range r.total.counts {
		t.Add(findingNames[i], n)
	}
	for _, name := range troubleNames {
		t.Add(name, r.troubles[name])
	}
	t.Add("CPU time in a second of a rest, most, s", fmt.Sprintf("%.3f", r.restLoad))
	t.Add("audits", r.audits)
	t.Add("resident memory of the proxy, most, MiB", float64(r.most[0])/(1<<20))
	t.Add("goroutines, most when quiet", r.most[1])
	t.Add("descriptors, most when quiet", r.most[2])
	return t
}
