package profile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/google/pprof/profile"

	"xoauth2-proxy/perf/flame"
	"xoauth2-proxy/perf/lab"
)

// A kind is one of the profiles that are taken.
type kind struct {
	name       string // of the file
	path       string // below /debug/pprof/
	sampleType string // what the flame graph shows
	title      string
}

// kinds are the profiles, and what their graphs show. The waiting one is made
// of many looks at all goroutines: where they are when they do not run, which
// a CPU profile cannot tell.
var kinds = []kind{
	{"cpu", "profile", "cpu", "CPU time"},
	{"allocs", "allocs", "alloc_space", "Memory allocated since the start"},
	{"heap", "heap", "inuse_space", "Memory in use under load"},
	{"mutex", "mutex", "delay", "Waiting for locks"},
	{"block", "block", "delay", "Waiting for channels and locks"},
	{waiting, "goroutine", "goroutine", "Where goroutines are (off-CPU)"},
}

// waiting is the name of the profile of goroutines.
const waiting = "waiting"

// looks is how many times all goroutines are looked at.
const looks = 50

// collect takes all profiles from the server at base over the given time and
// writes them to dir. The CPU profile comes first and alone: taking the
// others costs time that would be in it.
func collect(base, dir string, length time.Duration) error {
	seconds := max(int(length.Seconds()*2/3), 1)
	return lab.Try(func() {
		for _, k := range kinds {
			url := base + k.path
			if k.name == "cpu" {
				url += fmt.Sprintf("?seconds=%d", seconds)
			}
			all := []*profile.Profile{fetch(url)}
			for k.name == waiting && len(all) < looks {
				time.Sleep(max(length/3/looks, time.Millisecond))
				all = append(all, fetch(url))
			}
			f := lab.Must(os.Create(filepath.Join(dir, k.name+".pprof")))
			lab.Check(errors.Join(lab.Must(profile.Merge(all)).Write(f), f.Close()))
		}
	})
}

// fetch gets one profile.
func fetch(url string) *profile.Profile { return lab.Must(profile.ParseData(lab.Get(url))) }

// read reads the profile of a kind from dir and folds it.
func (k kind) read(dir string) (root *flame.Node, unit string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, k.name+".pprof"))
	if err != nil {
		return nil, "", err
	}
	p, err := profile.ParseData(text)
	if err != nil {
		return nil, "", fmt.Errorf("%s in %s: %w", k.name, dir, err)
	}
	for _, t := range p.SampleType {
		if t.Type == k.sampleType {
			unit = t.Unit
		}
	}
	return flame.Fold(p, k.sampleType), unit, nil
}

// draw draws the flame graphs of all profiles in dir.
func draw(dir string) error {
	for _, k := range kinds {
		root, unit, err := k.read(dir)
		if err != nil {
			return err
		}
		if err := drawGraph(filepath.Join(dir, k.name+".svg"), flame.Graph{Title: k.title, Unit: unit, Root: root}); err != nil {
			return err
		}
	}
	fmt.Printf("profiles and flame graphs are in %s\n", dir)
	return nil
}

// drawGraph draws one.
func drawGraph(name string, g flame.Graph) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(g.WriteSVG(f), f.Close())
}

// mostChanged is how many functions of each profile a comparison lists.
const mostChanged = 15

// diff compares the profiles of two runs by share: it draws the new ones
// coloured by change, and lists the functions that changed most.
func diff(oldDir, newDir string, w io.Writer) error {
	if err := claim(newDir); err != nil {
		return err
	}
	for _, k := range kinds {
		old, _, err := k.read(oldDir)
		if err != nil {
			return err
		}
		root, unit, err := k.read(newDir)
		if err != nil {
			return err
		}
		root.Compare(old)
		name := filepath.Join(newDir, "diff-"+k.name+".svg")
		if err := drawGraph(name, flame.Graph{Title: k.title + ", against " + oldDir, Unit: unit, Root: root, Diff: true}); err != nil {
			return err
		}
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(tw, "%s (%s)\n  share of the function itself, percent\told\tnew\tchange\n", k.title, name)
		shares := flame.Shares(root, old)
		for _, s := range shares[:min(mostChanged, len(shares))] {
			fmt.Fprintf(tw, "  %s\t%.2f\t%.2f\t%+.2f\n", s.Name, s.Old, s.New, s.New-s.Old)
		}
		fmt.Fprintln(tw)
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	return nil
}
