// Soak runs load, faults, reloads and restarts against the proxy for as long as
// asked, with rests between them, keeps a ledger of what was acknowledged, and fails
// on any loss, any message that arrived twice, any growth of memory, goroutines or
// descriptors, and any account that does not send after a rest. Proxy and sandbox
// are processes of their own, on loopback.
//
// How it is put together:
//
//	main.go     the command line, and the table at the end
//	stand.go    the processes, their files, their restarts
//	rounds.go   the rounds and the audits between them
//	sender.go   one SMTP client
//	ledger.go   what the clients know, against what the provider has
//	trouble.go  what goes wrong meanwhile
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
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	Duration time.Duration `default:"60s" help:"How long to run, from 30s up."`
	Rate     int           `default:"200" help:"Messages a second, at most."`
	Clients  int           `default:"12" help:"Connections that send at one time."`
	Accounts int           `default:"20" help:"Accounts of the proxy; a reload may take up to half of them away."`
	Rests    int           `default:"-1" help:"How often there are failures and then a rest; -1 is once, or once in ten minutes."`
	Rest     time.Duration `help:"How long a rest is; 0 is 95s, or 5s in runs below 5m."`
	Seed     uint64        `help:"Seed of all that is random; 0 takes one from the clock."`
	Growth   int64         `default:"48" help:"Growth of resident memory within a life of the proxy that fails the run, in MiB; less than a fifth is always allowed."`
	Proxy    string        `placeholder:"FILE" help:"Run this program instead of building one."`
	Verbose  bool          `short:"v" help:"Tell of each fault, reload and restart."`
}

func main() {
	var o options
	parser := kong.Must(&o, kong.Name("soak"), kong.Description("Runs load, faults, reloads, restarts and rests, and fails on any loss, double or growth, and on a proxy that is busy at rest."))
	_, err := parser.Parse(os.Args[1:])
	if err == nil && (o.Duration < 30*time.Second || o.Rate < 1 || o.Clients < 1 || o.Accounts < 2) {
		err = errors.New("--duration is below 30s, or a number is too small")
	}
	var spacing time.Duration
	if err == nil {
		spacing, err = o.planRests()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v (see --help)\n", err)
		os.Exit(2)
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, &o, spacing); err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(1)
	}
}

// run is the program without its process.
func run(ctx context.Context, o *options, spacing time.Duration) error {
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := o.Proxy
	if program == "" {
		built, err := lab.Build(dir, "xoauth2-proxy/cmd/xoauth2-proxy")
		if err != nil {
			return err
		}
		program = built[0]
	}
	s, err := newStand(program, dir, o.Accounts)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Printf("soak: %v with seed %d\n", o.Duration, o.Seed)
	r := newSoak(o, s, spacing)
	err = r.rounds(ctx)
	r.summary(os.Stdout)
	return errors.Join(append(r.failures, err)...)
}

// summary writes the table at the end.
func (r *soak) summary(w *os.File) {
	t := &lab.Table{Title: "Soak", Header: []string{"what", "count"}}
	elapsed := time.Since(r.started)
	t.Add("duration", elapsed.Round(time.Second).String())
	for class, n := range r.total.fates {
		t.Add("messages "+fateNames[class], fmt.Sprint(n))
	}
	t.Add("accepted a second", lab.Number(float64(r.total.fates[accepted])/elapsed.Seconds()))
	t.Add("arrived without an answer", fmt.Sprint(r.total.unanswered))
	t.Add("lost", fmt.Sprint(r.total.lost))
	t.Add("arrived twice", fmt.Sprint(r.total.twice))
	t.Add("arrived though refused", fmt.Sprint(r.total.refused))
	t.Add("damaged or under another account", fmt.Sprint(r.total.wrong))
	for _, name := range troubleNames {
		t.Add(name, fmt.Sprint(r.troubles[name]))
	}
	t.Add("CPU time in a second of a rest, most, s", fmt.Sprintf("%.3f", r.restLoad))
	t.Add("audits", fmt.Sprint(r.audits))
	t.Add("resident memory of the proxy, most, MiB", lab.Number(float64(r.most.resident)/(1<<20)))
	t.Add("goroutines, most when quiet", fmt.Sprint(r.most.goroutines))
	t.Add("descriptors, most when quiet", fmt.Sprint(r.most.descriptors))
	_, _ = t.WriteTo(w) // nobody could be told
}
