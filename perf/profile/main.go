// Profile puts a load on the proxy and leaves what it spent its time and
// memory on: pprof files, for `go tool pprof`, and flame graphs as SVG. If there
// are profiles already, those are kept aside and compared with the new ones. With
// --diff it compares what any two runs left.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	Dir  string        `default:"profiles" help:"Where the profiles go. Those that are there are moved to its folder previous, and compared." placeholder:"DIR"`
	Time time.Duration `default:"10s" help:"Length of the load."`
	Diff []string      `placeholder:"OLD,NEW" help:"Compare the profiles in two folders: what grew and what shrank goes to NEW/diff-*.svg. No load is run."`
	lab.Built
	lab.LoadArgs
}

func main() {
	var o options
	lab.Main("profile", "Profiles the proxy under load, with flame graphs, and compares two runs.", &o, func() error {
		switch len(o.Diff) {
		case 0:
			return o.Bench(o.measure)
		case 2:
			return diff(o.Diff[0], o.Diff[1], os.Stdout)
		}
		return errors.New("--diff takes two folders, OLD,NEW")
	})
}

// measure profiles the proxy under one load.
func (o *options) measure(b *lab.Bench) error {
	previous, err := setAside(o.Dir)
	if err != nil {
		return err
	}
	c, err := b.NewContest(o.Time)
	if err != nil {
		return err
	}
	defer c.Stop()
	proxy, err := c.Enter("proxy", lab.Setup{})
	if err != nil {
		return err
	}
	rep, err := o.loadAndCollect(b, c.Sink, proxy)
	if err != nil {
		return err
	}
	if err := rep.WriteText(os.Stdout); err != nil {
		return err
	}
	if err := draw(o.Dir); err != nil || previous == "" {
		return err
	}
	return diff(previous, o.Dir, os.Stdout)
}

// setAside makes the folder, and moves the profiles of an earlier run to one
// within it, whose name it returns, "" if there are none.
func setAside(dir string) (previous string, err error) {
	if err := claim(dir); err != nil {
		return "", err
	}
	previous = filepath.Join(dir, "previous")
	if err := claim(previous); err != nil {
		return "", err
	}
	for _, k := range kinds {
		file := k.name + ".pprof"
		switch err := os.Rename(filepath.Join(dir, file), filepath.Join(previous, file)); {
		case errors.Is(err, os.ErrNotExist):
			return "", nil // the first run, or one that was cut short
		case err != nil:
			return "", err
		}
	}
	return previous, nil
}

// claimed is the file that says that all in its folder is written by this program.
const claimed = ".profiles"

// claim makes the folder this program's own. One that has files of others is an
// error: a run would replace them.
func claim(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, claimed)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s has files that this program may not replace, such as %s: name an empty folder", dir, entries[0].Name())
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return durable.Create(filepath.Join(dir, claimed), nil)
}

// loadAndCollect runs the load and fetches the profiles while it lasts.
func (o *options) loadAndCollect(b *lab.Bench, sink *lab.Provider, proxy *lab.Proxy) (*report.Report, error) {
	args := append([]string{"--profile", "bench", "--target", proxy.Addr, "--accounts-file", sink.Accounts,
		"--duration", o.Time.String(), "--proxy-metrics", proxy.Admin + "/metrics"}, o.Args...)
	type result struct {
		report *report.Report
		err    error
	}
	loaded := make(chan result, 1)
	go func() {
		rep, err := lab.Load(b.Programs.Loadgen, args...)
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
