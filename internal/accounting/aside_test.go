package accounting

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/testkit"
)

// openNext opens a log in the place of one that has stepped aside; its process has another
// name.
func openNext(t *testing.T, dir, before string) *testLog {
	t.Helper()
	testkit.Eventually(t, "a name that is free", func() bool { return !strings.HasPrefix(before, time.Now().UTC().Format("20060102T150405.000Z")) })
	return openLog(t, victimConfig(dir))
}

// all returns the lines of all files of a directory, by process.
func all(t *testing.T, dir string) map[string][]line {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "accounting*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]line{}
	for _, path := range paths {
		for _, l := range linesOf(t, path) {
			out[l["process"]] = append(out[l["process"]], l)
		}
	}
	return out
}

// wantWhole fails the test unless each process has all its records, or says how many are
// missing, and has ended; and unless no start record says anything of another process.
func wantWhole(t *testing.T, dir string, processes int) (dropped int) {
	t.Helper()
	all := all(t, dir)
	if len(all) != processes {
		t.Errorf("%d processes, want %d", len(all), processes)
	}
	for process, lines := range all {
		records, ended := 0, -1
		for _, l := range lines {
			switch l["type"] {
			case "drop":
				dropped += number(t, l["count"])
				records += number(t, l["count"])
			case "end":
				ended = number(t, l["lastSequence"])
			case "start":
				if l["aboutProcess"] != "" || l["count"] != "0" {
					t.Errorf("%v", l)
				}
			default:
				records++
			}
		}
		if records != ended {
			t.Errorf("%s has %d records or says that they are missing, and the last one was %d", process, records, ended)
		}
	}
	if rest, _ := filepath.Glob(filepath.Join(dir, "*"+aside+"*")); rest != nil {
		t.Errorf("%q are left", rest)
	}
	return dropped
}

// TestStepAside has two processes write at one time, of which one has stepped aside.
func TestStepAside(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ends      func(old, next *testLog)
		processes int
	}{
		{"the one that stepped aside ends first", func(old, next *testLog) { old.end(); next.end() }, 2},
		{"it ends last", func(old, next *testLog) { next.end(); old.end() }, 2},
		{"it steps back", func(old, next *testLog) {
			next.end()
			if err := old.StepBack(); err != nil {
				t.Error(err)
			}
			old.put(Delivered, Refused)
			old.end()
		}, 2},
		{"both step aside, and end in their order", func(old, next *testLog) {
			if err := next.StepAside(); err != nil {
				t.Error(err)
			}
			third := openNext(t, old.writer.cfg.Directory, next.writer.process)
			third.put(Delivered)
			next.put(Delivered)
			old.end()
			next.end()
			third.end()
		}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			old := openLog(t, victimConfig(dir))
			old.put(Delivered, Refused)
			if err := old.StepAside(); err != nil {
				t.Fatal(err)
			}
			old.put(Deferred)
			next := openNext(t, dir, old.writer.process)
			old.put(Delivered)
			next.put(Delivered, Delivered)
			tt.ends(old, next)
			if dropped := wantWhole(t, dir, tt.processes); dropped != 0 {
				t.Errorf("%d records are said to be missing", dropped)
			}
			openNext(t, dir, next.writer.process).end() // nor does a later process say so
			for _, l := range linesOf(t, filepath.Join(dir, "accounting.csv")) {
				if l["type"] == "start" && l["count"] != "0" {
					t.Errorf("%v", l)
				}
			}
		})
	}
}

// TestKillAside kills a process that has stepped aside: the one that has the directory says
// how many records are missing, and ends its files.
func TestKillAside(t *testing.T) {
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), "/proc/self/exe")
	child.Env = append(os.Environ(), asVictim+"="+dir, stepsAside+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, out, 1000); err != nil { // it has stepped aside
		t.Fatal(err)
	}
	l := openLog(t, victimConfig(dir))
	l.put(Delivered)
	if err := l.Inherit(); err != nil { // it lives: nothing changes
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, out, 50_000); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.Copy(io.Discard, out)
	_ = child.Wait() // it was killed
	if err := l.Inherit(); err != nil {
		t.Fatal(err)
	}
	l.put(Delivered)
	l.end()
	if dropped := wantWhole(t, dir, 2); dropped == 0 {
		t.Errorf("none of %d records is missing", 51_000+rest)
	}
}

// TestKillOfTheNext kills a process that had the directory: the one that steps back says what
// is missing of it.
func TestKillOfTheNext(t *testing.T) {
	dir := t.TempDir()
	old := openLog(t, victimConfig(dir))
	old.put(Delivered)
	if err := old.StepAside(); err != nil {
		t.Fatal(err)
	}
	killed(t, dir, 20_000)
	old.put(Delivered)
	if err := old.StepBack(); err != nil {
		t.Fatal(err)
	}
	old.put(Delivered)
	old.end()
	wantWhole(t, dir, 2)
}
