// Package profile puts a load on the proxy and leaves what it spent its time and
// memory on: pprof files, for `go tool pprof`, and flame graphs as SVG. If there
// are profiles already, those are kept aside and compared with the new ones. With
// --running it profiles a proxy that runs already, under what load it has. With --diff
// it compares what any two runs left.
package profile

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

// Command is the command line.
type Command struct {
	Dir     string        `default:"profiles" help:"Folder for the profiles. Older profiles there are moved to its folder previous, and compared." placeholder:"DIR"`
	Time    time.Duration `default:"10s" help:"Length of the load."`
	Diff    []string      `placeholder:"OLD,NEW" help:"Compare the profiles in two folders: what grew and what shrank goes to NEW/diff-*.svg. No load is run."`
	Running string        `placeholder:"URL" help:"Profile a running proxy, by the URL of its admin listener, such as http://127.0.0.1:9090, which takes admin.pprof in its configuration. No load is run."`
	lab.Built
	lab.LoadArgs
}

// Run runs the command.
func (o *Command) Run() error {
	switch {
	case len(o.Diff) == 2:
		return diff(o.Diff[0], o.Diff[1], os.Stdout)
	case len(o.Diff) > 0:
		return errors.New("--diff takes two folders, OLD,NEW")
	case o.Running != "":
		return lab.Try(func() {
			o.keep(func() { lab.Check(collect(strings.TrimSuffix(o.Running, "/")+"/debug/pprof/", o.Dir, o.Time)) })
		})
	}
	return o.Bench(func(b *lab.Bench) { o.keep(func() { o.loadAndCollect(b) }) })
}

// keep sets earlier profiles aside, has others collected, draws them and compares both.
func (o *Command) keep(collect func()) {
	previous := lab.Must(setAside(o.Dir))
	collect()
	lab.Check(draw(o.Dir))
	if previous != "" {
		lab.Check(diff(previous, o.Dir, os.Stdout))
	}
}

// loadAndCollect runs a load and fetches the profiles while it lasts.
func (o *Command) loadAndCollect(b *lab.Bench) {
	c := b.NewComparison(o.Time, lab.Accounts, 0)
	proxy := c.AddProxy("proxy", lab.Setup{})
	args := append([]string{"--profile", "bench", "--target", proxy.Addr, "--accounts-file", c.Sink.Accounts,
		"--duration", o.Time.String(), "--proxy-metrics", proxy.Admin + "/metrics"}, o.Args...)
	var rep *report.Report
	loaded := lab.Go(func() { rep = b.Load(args...) })
	// The load has a second of its own at either end, so that its start and
	// its end are not in the profile.
	time.Sleep(time.Second)
	collected := collect(proxy.Admin+"/debug/pprof/", o.Dir, max(o.Time-2*time.Second, time.Second))
	loaded()
	lab.Check(collected)
	rep.Command = "loadgen " + strings.Join(args, " ")
	f := lab.Must(os.Create(filepath.Join(o.Dir, "load.txt")))
	lab.Check(errors.Join(rep.WriteText(f), f.Close()))
	lab.Check(rep.WriteText(os.Stdout))
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
