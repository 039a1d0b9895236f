// Profile puts a load on the proxy and leaves what it spent its time and
// memory on: pprof files, for `go tool pprof`, and flame graphs as SVG. With
// --diff it compares what two such runs left.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	Dir   string        `default:"profiles" help:"Where the profiles go. Keep runs apart to compare them." placeholder:"DIR"`
	Time  time.Duration `default:"10s" help:"Length of the load."`
	Proxy string        `placeholder:"FILE" help:"Measure this program instead of building one: that of another version."`
	Args  []string      `arg:"" optional:"" help:"Flags for the load generator, behind --. Default: 100 connections, 20 messages of 10 KB each, step by step."`
	Diff  []string      `placeholder:"OLD,NEW" help:"Compare the profiles in two folders: what grew and what shrank goes to NEW/diff-*.svg. No load is run."`
}

func main() {
	var o options
	parser := kong.Must(&o, kong.Name("profile"), kong.Description("Profiles the proxy under load, with flame graphs, and compares two runs."))
	_, err := parser.Parse(os.Args[1:])
	if err == nil && len(o.Diff) != 0 && len(o.Diff) != 2 {
		err = errors.New("--diff takes two folders, OLD,NEW")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "profile: %v (see --help)\n", err)
		os.Exit(2)
	}
	if len(o.Diff) == 2 {
		err = diff(o.Diff[0], o.Diff[1], os.Stdout)
	} else {
		err = run(&o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "profile: %v\n", err)
		os.Exit(1)
	}
}

// Accounts and connections of the proxy: enough for every load.
const (
	accounts              = 50
	connectionsPerAccount = 10
)

// run profiles the proxy under one load.
func run(o *options) error {
	dir, err := os.MkdirTemp("", "perf-profile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	programs, err := lab.BuildAll(dir, o.Proxy)
	if err != nil {
		return err
	}
	sink, err := lab.StartSink(programs, dir, accounts)
	if err != nil {
		return err
	}
	defer sink.Stop()
	proxy, err := lab.StartProxy(programs, dir, sink, connectionsPerAccount)
	if err != nil {
		return err
	}
	defer proxy.Stop()
	rep, err := loadAndCollect(o, programs, sink, proxy)
	if err != nil {
		return err
	}
	if err := rep.WriteText(os.Stdout); err != nil {
		return err
	}
	return draw(o.Dir)
}

// loadAndCollect runs the load and fetches the profiles while it lasts.
func loadAndCollect(o *options, programs lab.Programs, sink *lab.Provider, proxy *lab.Proxy) (*report.Report, error) {
	args := append([]string{"--profile", "bench", "--target", proxy.Addr, "--accounts-file", sink.Accounts,
		"--duration", o.Time.String(), "--proxy-metrics", proxy.Admin + "/metrics"}, o.Args...)
	type result struct {
		report *report.Report
		err    error
	}
	loaded := make(chan result, 1)
	go func() {
		rep, err := lab.Load(programs.Loadgen, args...)
		loaded <- result{rep, err}
	}()
	// The load has a second of its own at either end, so that its start and
	// its end are not in the profile.
	time.Sleep(time.Second)
	collected := collect(proxy.Admin+"/debug/pprof/", o.Dir, max(o.Time-2*time.Second, time.Second))
	r := <-loaded
	if err := errors.Join(r.err, collected); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(o.Dir, "load.txt"))
	if err != nil {
		return nil, err
	}
	r.report.Command = "loadgen " + strings.Join(args, " ")
	return r.report, errors.Join(r.report.WriteText(f), f.Close())
}
