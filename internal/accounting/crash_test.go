package accounting

import (
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
)

// asVictim has, in the environment of a child, the directory of a log that it writes to
// until it is killed.
const asVictim = "ACCOUNTING_TEST_VICTIM"

// stepsAside has the victim step aside before its first record, when it is set.
const stepsAside = "ACCOUNTING_TEST_ASIDE"

// victim writes an octet to standard output after each record.
func victim(dir string) {
	l, err := Open(victimConfig(dir), zap.NewNop(), metrics.NewSet())
	if err != nil {
		panic(err)
	}
	if os.Getenv(stepsAside) != "" {
		if err := l.StepAside(); err != nil {
			panic(err)
		}
	}
	r := someRecord()
	for {
		l.Put(r)
		if _, err := os.Stdout.Write([]byte{'.'}); err != nil {
			os.Exit(1)
		}
	}
}

// victimConfig is for one file, of short lines.
func victimConfig(dir string) Config {
	c := testConfig(dir)
	c.Files[0].Fields = []string{"type", "process", "sequence", "aboutProcess", "firstSequence", "lastSequence", "count"}
	return c
}

// killed runs a process that is killed after a number of records, and returns how many it
// had put; it may have put one more.
func killed(t *testing.T, dir string, after int) (put int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), "/proc/self/exe")
	child.Env = append(os.Environ(), asVictim+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, out, int64(after)); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.Copy(io.Discard, out)
	if err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	return after + int(rest)
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKill kills processes at any moment: the next start record says exactly how many
// records are missing.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	missed, written := 0, 0
	for _, after := range []int{1, 500, 20_000, 200_000} {
		put := killed(t, dir, after)
		l := openLog(t, victimConfig(dir))
		l.end()
		lines := linesOf(t, filepath.Join(dir, "accounting.csv"))
		start := lines[len(lines)-2]
		onDisk, last := 0, 0
		for _, r := range lines {
			switch {
			case r["process"] != start["aboutProcess"]:
			case r["sequence"] != "":
				onDisk, last = onDisk+1, number(t, r["sequence"])
			case r["type"] == "drop": // the disk was slower than the victim
				onDisk, last = onDisk+number(t, r["count"]), number(t, r["lastSequence"])
			}
		}
		missing := number(t, start["count"])
		if start["type"] != "start" || last != onDisk || number(t, start["lastSequence"]) != onDisk {
			t.Errorf("%d on the disk, the last one is %d: %v", onDisk, last, start)
		}
		if given := onDisk + missing; given != put && given != put+1 {
			t.Errorf("%d on the disk and %d missing, and %d were put", onDisk, missing, put)
		}
		if n := l.said.FilterMessageSnippet("the process before was killed").Len(); n == 0 != (missing == 0) {
			t.Errorf("%d lines about %d missing records", n, missing)
		}
		missed, written = missed+missing, written+onDisk
	}
	if missed == 0 || written == 0 {
		t.Errorf("%d records were missed, and %d written", missed, written)
	}
}

// TestKillOfProcessesWithoutRecords: a process that had no record on the disk is found too.
func TestKillBeforeTheFirstWrite(t *testing.T) {
	dir := t.TempDir()
	writeState(t, filepath.Join(dir, stateName), "20261130T000000.000Z-7", 5, 0, bootID())
	openLog(t, testConfig(dir)).end()
	start := linesOf(t, filepath.Join(dir, "accounting.csv"))[0]
	if start["aboutProcess"] != "20261130T000000.000Z-7" || start["lastSequence"] != "0" || start["count"] != "5" {
		t.Errorf("%v", start)
	}
}

func writeState(t *testing.T, path, process string, given, written uint64, boot string) {
	t.Helper()
	b := make([]byte, pageSize)
	binary.NativeEndian.PutUint64(b[pageGiven:], given)
	binary.NativeEndian.PutUint64(b[pageWritten:], written)
	copy(b[pageText:], pageMagic+"\n"+process+"\n"+boot+"\n")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStart has what the start record says of what the process before has left.
func TestStart(t *testing.T) {
	const process, older = "20261130T000000.000Z-7", "20261129T000000.000Z-7"
	header := "type,process,sequence,lastSequence\n"
	for _, c := range []struct {
		name, current, rotated, state string // state: given written boot
		last, count                   string
	}{
		{"all written", "d," + process + ",4,\n", "", "4 4 same", "4", "0"},
		{"some not written", "d," + process + ",4,\n", "", "9 4 same", "4", "5"},
		{"written after the state was", "d," + process + ",4,\n", "", "9 2 same", "4", "5"},
		{"the host was started anew", "d," + process + ",4,\n", "", "9 4 other", "4", ""},
		{"started anew, ended before", "d," + process + ",9,\nend," + process + ",,9\n", "", "9 4 other", "9", "0"},
		{"no state", "d," + process + ",4,\n", "", "", "4", ""},
		{"no state, ended before", "d," + process + ",4,\nend," + process + ",,4\n", "", "", "4", "0"},
		{"only a start record", "start," + process + ",,77\n", "", "3 0 same", "0", "3"},
		{"a drop at the end", "d," + process + ",4,\ndrop," + process + ",,8\n", "", "9 4 same", "8", "1"},
		{"a torn end", "d," + process + ",4,\nd," + process + ",5", "", "9 4 same", "4", "5"},
		{"rotated", "", "d," + process + ",6,\n", "", "6", ""},
		{"a file of an older process", "d," + older + ",99,\n", "", "9 4 same", "4", "5"},
		{"a state of an older process", "d,20261201T000000.000Z-7,3,\n", "", "9 4 same", "3", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "accounting.csv")
			content := map[string]string{path: c.current, filepath.Join(dir, "accounting-2026-11-30T00-00-00.000-size.csv"): c.rotated}
			for path, text := range content {
				if text == "" {
					continue
				}
				if err := os.WriteFile(path, []byte(header+text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if f := strings.Fields(c.state); len(f) == 3 {
				boot := bootID()
				if f[2] == "other" {
					boot = "other"
				}
				writeState(t, filepath.Join(dir, stateName), process, uint64(number(t, f[0])), uint64(number(t, f[1])), boot)
			}
			cfg := testConfig(dir)
			cfg.Files[0].Fields = []string{"type", "process", "sequence", "lastSequence", "count"}
			openLog(t, cfg).end()
			lines := linesOf(t, path)
			if start := lines[0]; start["type"] != "start" || start["lastSequence"] != c.last || start["count"] != c.count {
				t.Errorf("%v, want %s and %q", start, c.last, c.count)
			}
		})
	}
}

// TestStateFileIsCut: a state file that another program cuts off does not end the process;
// how much is missing is not known then.
func TestStateFileIsCut(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, testConfig(dir))
	l.put(Delivered)
	if err := os.Truncate(filepath.Join(dir, stateName), 0); err != nil {
		t.Fatal(err)
	}
	l.put(Delivered, Refused)
	l.end()
	if got, want := brief(linesOf(t, filepath.Join(dir, "accounting.csv"))), "start d1 d2 b3 end"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if l.said.FilterMessageSnippet("the state file of the accounting log broke").Len() != 1 {
		t.Error("the log does not say that the state file broke")
	}
}

// TestNoStateFile: without a state file, and through no link, records are written.
func TestNoStateFile(t *testing.T) {
	dir, other := t.TempDir(), filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dir, stateName)); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, testConfig(dir))
	l.put(Delivered)
	l.end()
	if got, want := brief(linesOf(t, filepath.Join(dir, "accounting.csv"))), "start d1 end"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if b, err := os.ReadFile(other); string(b) != "theirs" || err != nil {
		t.Errorf("the file of others has %q, %v", b, err)
	}
	if l.said.FilterMessageSnippet("cannot use the state file").Len() != 1 {
		t.Error("the log does not say that there is no state file")
	}
}
