package logging

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testmount"
)

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		log, o, err := Open(Config{JSON: true, Console: true}, zap.NewAtomicLevel())
		if err != nil {
			panic(err)
		}
		log.Error("an error")
		log.Warn("a warning")
		log.Info("a note")
		o.Close()
		return
	}
	goleak.VerifyTestMain(m)
}

// asChild in the environment makes the test binary a program that logs.
const asChild = "XOAUTH2_PROXY_LOGGING_TEST_CHILD"

// toFile returns a logger to a new file.
func toFile(t *testing.T, dir string) (log *zap.Logger, o *Output, path string) {
	t.Helper()
	path = filepath.Join(dir, "log")
	log, o, err := Open(Config{JSON: true, File: path}, zap.NewAtomicLevel())
	if err != nil {
		t.Fatal(err)
	}
	return log, o, path
}

// linesOf returns the lines of a log file.
func linesOf(t *testing.T, path string) (all []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		all = append(all, l)
	}
	return all
}

func TestFields(t *testing.T) {
	log, o, path := toFile(t, t.TempDir())
	log.With(zap.String("reply", ""), zap.String("account", "a")).Info("x", zap.String("hint", ""), zap.String("class", "c"),
		zap.Duration("short", 1234567*time.Nanosecond), zap.Duration("second", 1500*time.Millisecond), zap.Duration("long", 90*time.Minute+time.Millisecond))
	o.Close()
	l := linesOf(t, path)[0]
	for key, want := range map[string]any{"hint": nil, "reply": nil, "account": "a", "class": "c", "short": "1.235ms", "second": "1.5s", "long": "1h30m0s"} {
		if l[key] != want {
			t.Errorf("%s is %v, want %v", key, l[key], want)
		}
	}
}

// TestRepetitions: lines that say the same are logged five times in a minute, and then once
// with their number. What differs in a text is another line.
func TestRepetitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, o, path := toFile(t, t.TempDir())
		const n = 40
		for i := range n {
			log.Warn("refused", zap.String("account", "a"), zap.Error(errors.New("no")), zap.Int("tries", i), zap.Duration("took", time.Duration(i)))
			log.With(zap.String("account", "b")).Error("refused")
			log.Error("refused", zap.String("account", fmt.Sprint(i)))
			log.Error("reload refused", zap.Strings("problems", []string{fmt.Sprint("problem ", i)}))
			log.Info("a note")
		}
		counts := func() (seen map[string]int, repeated map[string]float64) {
			synctest.Wait()
			seen, repeated = make(map[string]int), make(map[string]float64)
			for _, l := range linesOf(t, path) {
				key := fmt.Sprint(l["level"], " ", l["msg"], " ", l["account"])
				seen[key]++
				if r, ok := l["repeated"].(float64); ok {
					repeated[key] = r
				}
			}
			return seen, repeated
		}
		seen, repeated := counts()
		for key, want := range map[string]int{"warn refused a": burst, "error refused b": burst, "error refused 7": 1, "error reload refused <nil>": n, "info a note <nil>": n} {
			if seen[key] != want {
				t.Errorf("%s: %d lines, want %d", key, seen[key], want)
			}
		}
		if len(repeated) > 0 {
			t.Errorf("before the minute has passed: %v", repeated)
		}
		time.Sleep(window)
		seen, repeated = counts()
		if seen["warn refused a"] != burst+1 || repeated["warn refused a"] != n-burst || repeated["error refused b"] != n-burst || len(repeated) != 2 {
			t.Errorf("after it: %v, repeated %v", seen["warn refused a"], repeated)
		}
		for range n { // a new window, that the end cuts short
			log.Warn("refused", zap.String("account", "a"))
		}
		o.Close()
		if _, repeated = counts(); repeated["warn refused a"] != n-burst {
			t.Errorf("at the end: %v", repeated)
		}
	})
}

// nilError is an error whose text a nil one does not have.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

// TestNilError: an error that is a nil pointer costs no more than its text.
func TestNilError(t *testing.T) {
	log, o, path := toFile(t, t.TempDir())
	log.Error("refused", zap.Error((*nilError)(nil)))
	log.Error("refused", zap.Error(&nilError{"why"}))
	o.Close()
	if l := linesOf(t, path); len(l) != 2 || l[0]["error"] != "<nil>" || l[1]["error"] != "why" {
		t.Errorf("%v", l)
	}
}

// TestManyLinesAreBounded: more different lines than are remembered are all logged.
func TestManyLinesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, o, path := toFile(t, t.TempDir())
		for i := range maxSeen + 10 {
			log.Warn("refused", zap.String("account", fmt.Sprint(i)))
		}
		if n := len(o.repeats.seen); n != maxSeen {
			t.Errorf("%d lines are remembered", n)
		}
		o.Close()
		if n := len(linesOf(t, path)); n != maxSeen+10 {
			t.Errorf("%d lines", n)
		}
	})
}

// TestReopen renames the file as logrotate does, and then removes its directory.
func TestReopen(t *testing.T) {
	log, o, path := toFile(t, t.TempDir())
	log.Info("one")
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	log.Info("two")
	if err := o.Reopen(); err != nil {
		t.Fatal(err)
	}
	log.Info("three")
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	old, now := linesOf(t, path+".1"), linesOf(t, path)
	if len(old) != 2 || len(now) != 1 || now[0]["msg"] != "three" {
		t.Errorf("old file %v, new file %v", old, now)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if err := o.Reopen(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the directory: %v", err)
	}
	log.Info("four") // to the file that is open
	o.Close()
}

// TestFullDisk: lines are lost and counted, standard error is told once, and when there is
// room again a line says how many are missing.
func TestFullDisk(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	dir := t.TempDir()
	testmount.Disk(t, dir, "1m")
	log, o, path := toFile(t, dir)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	log.Info("before")
	written := func() {
		t.Helper()
		if err := log.Sync(); err != nil {
			t.Error(err)
		}
	}
	written()
	makeRoom := testmount.Fill(t, dir)
	page := strings.Repeat("x", 8192) // more than may be left in the last page
	const lost = 30
	counted := linesLost.Get()
	for range lost {
		log.Info(page)
	}
	written()
	makeRoom()
	log.Info("after")
	o.Close()
	os.Stderr = stderr
	_ = w.Close()
	told, err := io.ReadAll(r)
	if err != nil || strings.Count(string(told), "\n") != 1 || !strings.Contains(string(told), "cannot write log.file: lines are lost") ||
		!strings.Contains(string(told), "no space left on device") {
		t.Errorf("standard error has %.2000s, %v", told, err)
	}
	if n := linesLost.Get() - counted; n != lost {
		t.Errorf("%d lines are counted", n)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tail := string(text[strings.LastIndex(string(text), "xxx")+3:])
	if tail = strings.TrimPrefix(tail, "\n"); !strings.Contains(string(text), `"lines":30`) || strings.Count(tail, "\n") > 3 || !strings.HasSuffix(tail, "}\n") {
		t.Errorf("the file ends in %s", tail)
	}
}

// TestPlaceThatHangs: who logs does not wait for a pipe that takes nothing. What finds no
// room is counted, and told when the pipe takes lines again.
func TestPlaceThatHangs(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	defer func() { os.Stderr = stderr }()
	log, o, err := Open(Config{JSON: true, Console: true}, zap.NewAtomicLevel())
	if err != nil {
		t.Fatal(err)
	}
	counted, n := linesLost.Get(), 0
	for text := strings.Repeat("x", 1000); linesLost.Get() < counted+10; n++ {
		log.Info(text)
	}
	lost := int(linesLost.Get() - counted)
	told := make(chan []byte)
	go func() {
		all, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		told <- all
	}()
	o.Close()
	_ = w.Close()
	lines := strings.Split(strings.TrimSpace(string(<-told)), "\n")
	whole := 0
	for _, l := range lines {
		if strings.Contains(l, "xxx") && strings.HasSuffix(l, "}") {
			whole++
		}
	}
	if whole != n-lost || len(lines) != whole+1 || !strings.Contains(strings.Join(lines, ""), fmt.Sprintf(`"lines":%d`, lost)) {
		t.Errorf("%d of %d lines came, %d are lost, the last is %.300s", whole, n, lost, lines[len(lines)-1])
	}
}

// TestReopenOfAPlaceThatHangs: a reopening that finds no room keeps no descriptor.
func TestReopenOfAPlaceThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	log, o, err := Open(Config{JSON: true, File: path}, zap.NewAtomicLevel())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for full := error(nil); full == nil; { // so that the first line hangs
		if err := raw.Write(func(fd uintptr) bool { _, full = syscall.Write(int(fd), make([]byte, 64<<10)); return true }); err != nil {
			t.Fatal(err)
		}
	}
	log.Info("the line that hangs")
	testkit.Eventually(t, "the line was taken", func() bool { return len(o.file.queue) == 0 })
	for counted := linesLost.Get(); linesLost.Get() == counted; {
		log.Info("a line")
	}
	descriptors := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := descriptors()
	if err := o.Reopen(); !errors.Is(err, errFull) {
		t.Errorf("reopened: %v", err)
	}
	if n := descriptors(); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, r)
	}()
	o.Close()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	<-read
}

// TestJournal starts a program whose standard error is the journal's socket.
func TestJournal(t *testing.T) {
	for _, journal := range []bool{true, false} {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
		info, err := theirs.Stat()
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		inode := st.Ino
		if !journal {
			inode++
		}
		cmd.Env = append(os.Environ(), asChild+"=1", fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, inode))
		cmd.Stderr = theirs
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		_ = theirs.Close()
		text, err := io.ReadAll(ours)
		if err != nil {
			t.Fatal(err)
		}
		_ = ours.Close()
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		for i, want := range []string{"<3>{", "<4>{", "<6>{"} {
			if !journal {
				want = "{"
			}
			if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
				t.Errorf("journal %v: line %d of %q does not begin with %q", journal, i, lines, want)
			}
		}
	}
}

// TestPriorities names a priority for every level.
func TestPriorities(t *testing.T) {
	for level, want := range map[zapcore.Level]int{zap.DebugLevel: 7, zap.InfoLevel: 6, zap.WarnLevel: 4, zap.ErrorLevel: 3, zap.DPanicLevel: 2, zap.PanicLevel: 2, zap.FatalLevel: 2} {
		if got := priorityOf(level); got != want {
			t.Errorf("%v has priority %d", level, got)
		}
	}
}
