package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/loadgen/report"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

const description = `Loads an SMTP submission server on this machine and reports latency, throughput, replies and cost.

  Closed loop, as fast as the server answers: loadgen -c 100 -m 20 --messages 40000
  Open loop, 50,000 a minute for a minute:    loadgen --rate 50k --duration 1m
  Find the limit:                             loadgen --steps 1k,5k,10k,20k,50k,100k --step-time 10s --html load.html
  With proof of delivery:                     loadgen --rate 50k --accounts-file accounts.json \
                                                --sandbox http://127.0.0.1:8025

  Through a proxy in dry-run mode:            loadgen --rate 50k --dry-run --proxy-metrics http://127.0.0.1:9090/metrics

Exit code: 0 all accepted (and proven), 1 a message failed or the proof did, 2 usage error.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p, code, done := parse(args, stdout, stderr)
	if done {
		return code
	}
	if err := p.options.checkOutputs(); err != nil {
		fmt.Fprintf(stderr, "loadgen: %v\n", err)
		return exitUsage
	}
	rep, err := newRunner(p, stderr).load(ctx)
	if rep != nil {
		rep.Command = strings.Join(append([]string{"loadgen"}, args...), " ")
		err = errors.Join(err, write(rep, p.options, stdout))
	}
	if err != nil {
		fmt.Fprintf(stderr, "loadgen: %v\n", err)
		return exitFailed
	}
	if rep.Failing() {
		return exitFailed
	}
	return exitOK
}

// parse reads the command line. done says that there is nothing more to do:
// help was asked for and given, or there was a mistake.
func parse(args []string, stdout, stderr io.Writer) (p *plan, code int, done bool) {
	o := &options{}
	exited := false
	parser, err := kong.New(o, kong.Name("loadgen"), kong.Description(description), kong.Resolvers(profileResolver),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { exited = true }),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 110}))
	if err == nil {
		_, err = parser.Parse(args)
	}
	if exited {
		return nil, exitOK, true
	}
	if err == nil {
		p, err = newPlan(o)
	}
	if err != nil {
		fmt.Fprintf(stderr, "loadgen: %v (see --help)\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil, exitUsage, true
	}
	return p, exitOK, false
}

// write writes the report in the forms that were asked for.
func write(rep *report.Report, o *options, stdout io.Writer) error {
	var errs []error
	if !o.Quiet && o.JSON != "-" {
		errs = append(errs, rep.WriteText(stdout))
	}
	if o.JSON == "-" {
		errs = append(errs, rep.WriteJSON(stdout))
	} else if o.JSON != "" {
		errs = append(errs, durable.WriteNew(o.JSON, rep.WriteJSON))
	}
	if o.HTML != "" {
		errs = append(errs, durable.WriteNew(o.HTML, rep.WriteHTML))
	}
	return errors.Join(errs...)
}

// checkOutputs finds files in the way of the report, before the load.
func (o *options) checkOutputs() error {
	errs := []error{durable.CheckNew(o.HTML)}
	if o.JSON != "-" {
		errs = append(errs, durable.CheckNew(o.JSON))
	}
	return errors.Join(errs...)
}
