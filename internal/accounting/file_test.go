package accounting

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testmount"
)

// TestRotation by size: each file has the header, the old ones are compressed, and no record
// is missing. A process that begins finds the last number in a compressed file.
func TestRotation(t *testing.T) {
	for _, compression := range []string{"gzip", "none"} {
		dir := t.TempDir()
		c := testConfig(dir)
		c.RotateSize, c.Compression = 64<<10, compression
		l := openLog(t, c)
		for i := range 1000 {
			l.put(Delivered)
			if i%50 == 0 {
				if err := l.Reopen(); err != nil { // which writes what there is
					t.Fatal(err)
				}
			}
		}
		l.end()
		files := filesIn(t, dir)
		if len(files) < 4 {
			t.Fatalf("%s: %q", compression, files)
		}
		n := 0
		for _, path := range files {
			for _, r := range linesOf(t, path) {
				if r["type"] == "d" {
					if n++; r["sequence"] != fmt.Sprint(n) {
						t.Fatalf("%s: %s after %d", path, r["sequence"], n-1)
					}
				}
			}
			if info, err := os.Stat(path); err != nil || strings.HasSuffix(path, ".csv") && info.Size() > 2*c.RotateSize || info.Mode().Perm() != 0o640 {
				t.Errorf("%s: %d octets, %v, %v", path, info.Size(), info.Mode(), err)
			}
		}
		if n != 1000 {
			t.Errorf("%d records", n)
		}
		if err := os.Remove(filepath.Join(dir, "accounting.csv")); err != nil {
			t.Fatal(err)
		}
		openLog(t, c).end()
		if start := linesOf(t, filepath.Join(dir, "accounting.csv"))[0]; start["lastSequence"] != "1000" {
			t.Errorf("%v", start)
		}
	}
}

// TestRotationByTime: a file that was written yesterday is renamed before the first record of today.
func TestRotationByTime(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "accounting.csv")
	c := testConfig(dir)
	c.RotateEvery, c.Compression = 24*time.Hour, "none"
	openLog(t, c).end()
	openLog(t, c).end()
	if got := brief(linesOf(t, path)); got != "start end start end" {
		t.Errorf("today: %s", got)
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(path, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, c)
	l.put(Delivered)
	l.end()
	files := filesIn(t, dir)
	if len(files) != 2 || !strings.HasSuffix(files[0], "-time.csv") {
		t.Fatalf("%q", files)
	}
	if got := brief(linesOf(t, files[0])) + " | " + brief(linesOf(t, files[1])); got != "start end start end | start d1 end" {
		t.Error(got)
	}
}

// TestKept bounds the number of old files.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	c := testConfig(dir)
	c.RotateSize, c.Compression, c.KeepFiles = 64<<10, "none", 2
	l := openLog(t, c)
	for range 40 {
		for range 50 {
			l.put(Delivered)
		}
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	l.end()
	times := make(map[string]bool) // files of the same millisecond count as one
	for _, path := range filesIn(t, dir) {
		at, _, _ := strings.Cut(path, "-size")
		times[at] = true
	}
	if len(times) != 3 {
		t.Errorf("files of %d moments", len(times))
	}
}

// TestMoved: another program moves the file, removes it or its directory, or cuts it off,
// with SIGHUP and without. The next records begin a file, with a header, and none is missing.
func TestMoved(t *testing.T) {
	for _, c := range []struct {
		name   string
		hangup bool
		do     func(path string) error
		kept   string // of the file before, in path.1
		want   string
	}{
		{"renamed, SIGHUP", true, func(p string) error { return os.Rename(p, p+".1") }, "start d1", "d2 end"},
		{"renamed", false, func(p string) error { return os.Rename(p, p+".1") }, "start d1", "d2 end"},
		{"removed", false, os.Remove, "", "d2 end"},
		{"the directory removed", false, func(p string) error { return os.RemoveAll(filepath.Dir(p)) }, "", "d2 end"},
		{"cut off", false, func(p string) error { return os.Truncate(p, 0) }, "", "d2 end"},
		{"only SIGHUP", true, func(string) error { return nil }, "", "start d1 d2 end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			path := filepath.Join(dir, "accounting.csv")
			l := openLog(t, testConfig(dir))
			l.put(Delivered)
			testkit.Eventually(t, "the record is on the disk", func() bool { return l.metric(t, "accounting_records_total") == 1 })
			if err := c.do(path); err != nil {
				t.Fatal(err)
			}
			if c.hangup {
				if err := l.Reopen(); err != nil {
					t.Fatal(err)
				}
			}
			l.put(Delivered)
			l.end()
			if got := brief(linesOf(t, path)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if c.kept != "" {
				if got := brief(linesOf(t, path+".1")); got != c.kept {
					t.Errorf("before: %s, want %s", got, c.kept)
				}
			}
		})
	}
}

// TestUnfinished: the end of a record that a crash left is cut off, and a file with other
// fields is put aside.
func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "accounting.csv")
	l := openLog(t, testConfig(dir))
	l.put(Delivered)
	l.end()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`d,2026-11-30T00:00:00.000Z,"half`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, testConfig(dir))
	l.end()
	if got, want := brief(linesOf(t, path)), "start d1 end start end"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if l.said.FilterMessageSnippet("unfinished record").Len() != 1 {
		t.Error("the log does not say that a record was cut off")
	}
	c := testConfig(dir)
	c.Files[0].Fields, c.Compression = []string{"type", "process", "sequence"}, "none"
	openLog(t, c).end()
	files := filesIn(t, dir)
	if len(files) != 2 || !strings.HasSuffix(files[0], "-fields.csv") {
		t.Fatalf("%q", files)
	}
	if got := brief(linesOf(t, path)); got != "start end" {
		t.Errorf("with other fields: %s", got)
	}
}

// TestNotAFile: nothing is written through a link, or to what is no file. The log says so,
// and goes on when that is gone.
func TestNotAFile(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"a link":      func(p string) error { return os.Symlink(other, p) },
		"a directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"a pipe":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "accounting.csv")
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		l := openLog(t, testConfig(dir))
		l.put(Delivered)
		testkit.Eventually(t, "the record is dropped", func() bool { return l.metric(t, `accounting_dropped_total{cause="error"}`) == 1 })
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "the drop is written without another record", func() bool {
			b, _ := os.ReadFile(path)
			return strings.Contains(string(b), "\ndrop,")
		})
		l.put(Delivered)
		l.end()
		if got, want := brief(linesOf(t, path)), "drop(1 1-1 error) d2 end"; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		for text, n := range map[string]int{"cannot write the accounting log: records are dropped": 1, "the accounting log is written again": 1} {
			if l.said.FilterMessage(text).Len() != n {
				t.Errorf("%s: %d lines %q", name, l.said.FilterMessage(text).Len(), text)
			}
		}
	}
	if b, err := os.ReadFile(other); string(b) != "theirs\n" || err != nil {
		t.Errorf("the file of others has %q, %v", b, err)
	}
}

// TestFullDisk has a disk fill up, to its end and to the room that is to be left: only whole
// records are on it, and when there is room again a drop record says which are missing.
func TestFullDisk(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	for _, c := range []struct {
		why     string
		minFree int64
	}{{whyError, 0}, {whySpace, 1 << 20}} {
		dir := smallDisk(t)
		cfg := testConfig(dir)
		cfg.MinFree = c.minFree
		l := openLog(t, cfg)
		dropped := func() int { return l.metric(t, `accounting_dropped_total{cause="`+c.why+`"}`) }
		ballast, path := filepath.Join(dir, "ballast"), filepath.Join(dir, "accounting.csv")
		if err := os.WriteFile(ballast, make([]byte, 512<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		put := 0
		for dropped() == 0 {
			for range 500 {
				l.put(Delivered)
				put++
			}
			_ = l.Reopen() // which writes what there is
		}
		onDisk := 0
		for _, r := range linesOf(t, path) {
			if r["type"] == "d" {
				onDisk++
			}
		}
		if onDisk+dropped() != put {
			t.Errorf("%s: %d records are on the disk and %d dropped, of %d", c.why, onDisk, dropped(), put)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		l.put(Refused)
		testkit.Eventually(t, "records are written again", func() bool { return l.metric(t, "accounting_records_total") == onDisk+1 })
		lines := linesOf(t, path)
		if got, want := brief(lines[len(lines)-2:]), fmt.Sprintf("drop(%d %d-%d %s) b%d", put-onDisk, onDisk+1, put, c.why, put+1); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		l.end()
	}
}

// TestRotationFails: a file that cannot be renamed goes on.
func TestRotationFails(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "accounting.csv")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(path, path, "", syscall.MS_BIND, ""); err != nil { // rename fails with EBUSY
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, 0) })
	c := testConfig(dir)
	c.RotateSize = 1
	l := openLog(t, c)
	l.put(Delivered)
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.put(Refused)
	l.end()
	if got, want := brief(linesOf(t, path)), "start d1 b2 end"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if n := l.said.FilterMessageSnippet("the file of the accounting log stays").Len(); n != 1 {
		t.Errorf("the log says so %d times", n)
	}
}

// smallDisk returns a directory with 2 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestReadOnlyDirectory: the log says that it cannot write, and the records are counted.
func TestReadOnlyDirectory(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	dir := smallDisk(t)
	c := testConfig(dir)
	c.StateFile = filepath.Join(t.TempDir(), "state") // shared memory would keep the disk writable
	l := openLog(t, c)
	l.put(Delivered)
	testkit.Eventually(t, "the record is on the disk", func() bool { return l.metric(t, "accounting_records_total") == 1 })
	if err := l.Reopen(); err != nil { // an open file would keep the disk writable
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		testkit.Eventually(t, "the disk is mounted anew", func() bool {
			return syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_BIND|flags, "") == nil
		})
	}
	remount(syscall.MS_RDONLY)
	l.put(Delivered, Refused)
	testkit.Eventually(t, "the records are dropped", func() bool { return l.metric(t, `accounting_dropped_total{cause="error"}`) == 2 })
	remount(0)
	l.put(Deferred)
	l.end()
	if got, want := brief(linesOf(t, filepath.Join(dir, "accounting.csv"))), "start d1 drop(2 2-3 error) t4 end"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
