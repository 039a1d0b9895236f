package durable

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"xoauth2-proxy/internal/testmount"
)

// killedStep is, in the environment, the step after which a process that
// overwrites the file at killedPath is killed.
const killedStep = "DURABLE_TEST_STEP"

func init() {
	after := os.Getenv(killedStep)
	if after == "" {
		return
	}
	step = func(name string) {
		if name == after {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	path := os.Getenv(killedPath)
	fmt.Fprintln(os.Stderr, File{Path: path, Pending: path + ".state/pending"}.Replace([]byte(os.Getenv("DURABLE_TEST_DATA"))))
	os.Exit(1)
}

// mounted is a file that is mounted by itself, with that content, and where its
// copies go.
func mounted(t *testing.T, text string) File {
	t.Helper()
	dir := t.TempDir()
	host, path := filepath.Join(dir, "host.json"), filepath.Join(dir, "a.json")
	put(t, host, text)
	put(t, path, "")
	testmount.Bind(t, host, path)
	return File{Path: path, Pending: path + ".state/pending"}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inDir lists a directory that need not be there.
func inDir(t *testing.T, dir string) []string {
	t.Helper()
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil
	}
	return names(t, dir)
}

// TestMounted replaces and rehearses files that are mounted by themselves, also
// in a read-only directory.
func TestMounted(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	long := strings.Repeat("long ", 5000)
	for _, tt := range []struct{ name, old, new string }{
		{"longer", "old", long}, {"shorter", long, "new"}, {"as long", "old", "new"}, {"empty before", "", "new"}, {"empty after", "old", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := mounted(t, tt.old)
			testmount.ReadOnly(t, filepath.Dir(f.Path))
			f.Pending = filepath.Join(t.TempDir(), "state", "pending")
			if err := f.Rehearse([]byte(tt.new)); err != nil {
				t.Fatal(err)
			}
			if got := get(t, f.Path); got != tt.old {
				t.Fatalf("after the rehearsal the file is %.20q", got)
			}
			if err := f.Replace([]byte(tt.new)); err != nil {
				t.Fatal(err)
			}
			if got := get(t, f.Path); got != tt.new {
				t.Errorf("the file is %.20q", got)
			}
			if left := names(t, filepath.Dir(f.Pending)); len(left) > 0 {
				t.Errorf("beside the state are %q", left)
			}
		})
	}
}

// TestCannotReplace has files that cannot be replaced, for all reasons that there
// are: the rehearsal knows it, and both leave all as it was.
func TestCannotReplace(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	plain := func(t *testing.T) File {
		f := File{Path: filepath.Join(t.TempDir(), "a.json")}
		put(t, f.Path, "old")
		return f
	}
	for _, tt := range []struct {
		name string
		file func(t *testing.T) File
		want error
	}{
		{"mounted, without a state directory", func(t *testing.T) File {
			f := mounted(t, "old")
			f.Pending = ""
			return f
		}, ErrMounted},
		{"mounted read-only", func(t *testing.T) File {
			f := mounted(t, "old")
			testmount.ReadOnly(t, f.Path)
			return f
		}, syscall.EROFS},
		{"state directory read-only", func(t *testing.T) File {
			f := mounted(t, "old")
			if err := os.Mkdir(filepath.Dir(f.Pending), 0o700); err != nil {
				t.Fatal(err)
			}
			testmount.ReadOnly(t, filepath.Dir(f.Pending))
			return f
		}, syscall.EROFS},
		{"state directory full", func(t *testing.T) File {
			f := mounted(t, "old")
			f.Pending = filepath.Join(full(t), "pending")
			return f
		}, syscall.ENOSPC},
		{"state directory is a file", func(t *testing.T) File {
			f := mounted(t, "old")
			put(t, filepath.Dir(f.Pending), "mine")
			return f
		}, syscall.ENOTDIR},
		{"mounted from a full disk", func(t *testing.T) File {
			dir := t.TempDir()
			testmount.Disk(t, dir, "1m")
			put(t, filepath.Join(dir, "host.json"), "old")
			testmount.Fill(t, dir)
			f := File{Path: filepath.Join(t.TempDir(), "a.json"), Pending: filepath.Join(t.TempDir(), "pending")}
			put(t, f.Path, "")
			testmount.Bind(t, filepath.Join(dir, "host.json"), f.Path)
			return f
		}, syscall.ENOSPC},
		{"directory read-only", func(t *testing.T) File {
			f := plain(t)
			testmount.ReadOnly(t, filepath.Dir(f.Path))
			return f
		}, syscall.EROFS},
		{"disk full", func(t *testing.T) File {
			dir := t.TempDir()
			testmount.Disk(t, dir, "1m")
			f := File{Path: filepath.Join(dir, "a.json")}
			put(t, f.Path, "old")
			testmount.Fill(t, dir)
			return f
		}, syscall.ENOSPC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.file(t)
			data := []byte(strings.Repeat("new", 3000))
			before, beside := inDir(t, filepath.Dir(f.Path)), inDir(t, filepath.Dir(f.Pending))
			for name, save := range map[string]func([]byte) error{"Rehearse": f.Rehearse, "Replace": f.Replace} {
				if err := save(data); !errors.Is(err, tt.want) {
					t.Errorf("%s: %v, want %v", name, err, tt.want)
				}
				if got := get(t, f.Path); got != "old" {
					t.Errorf("after %s the file is %.20q", name, got)
				}
				if now := inDir(t, filepath.Dir(f.Path)); fmt.Sprint(now) != fmt.Sprint(before) {
					t.Errorf("after %s its directory has %q, before %q", name, now, before)
				}
				if now := inDir(t, filepath.Dir(f.Pending)); f.Pending != "" && fmt.Sprint(now) != fmt.Sprint(beside) {
					t.Errorf("after %s the state directory has %q, before %q", name, now, beside)
				}
			}
		})
	}
}

// full is a directory on a full disk.
func full(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	testmount.Disk(t, dir, "1m")
	testmount.Fill(t, dir)
	return dir
}

// TestCannotReplaceAsUser has a directory that an ordinary user may not write in.
func TestCannotReplaceAsUser(t *testing.T) {
	if !testmount.AsUser(t) {
		return
	}
	f := File{Path: filepath.Join(t.TempDir(), "a.json")}
	put(t, f.Path, "old")
	if err := os.Chmod(filepath.Dir(f.Path), 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Dir(f.Path), 0o700)
	for name, save := range map[string]func([]byte) error{"Rehearse": f.Rehearse, "Replace": f.Replace} {
		if err := save([]byte("new")); !errors.Is(err, os.ErrPermission) || get(t, f.Path) != "old" {
			t.Errorf("%s: %v, %q", name, err, get(t, f.Path))
		}
	}
}

// TestImmutable rehearses over files with the attributes of chattr(1).
func TestImmutable(t *testing.T) {
	for _, flag := range []string{"+i", "+a"} {
		f := File{Path: filepath.Join(t.TempDir(), "a.json")}
		put(t, f.Path, "old")
		if out, err := exec.Command("chattr", flag, f.Path).CombinedOutput(); err != nil {
			t.Skipf("NOT TESTED: chattr %s: %v: %s", flag, err, out)
		}
		for name, save := range map[string]func([]byte) error{"Rehearse": f.Rehearse, "Replace": f.Replace} {
			if err := save([]byte("new")); !errors.Is(err, os.ErrPermission) {
				t.Errorf("%s: %s: %v", flag, name, err)
			}
			if n := len(names(t, filepath.Dir(f.Path))); n != 1 || get(t, f.Path) != "old" {
				t.Errorf("%s: after %s there are %d files, and it is %q", flag, name, n, get(t, f.Path))
			}
		}
		if out, err := exec.Command("chattr", "-ia", f.Path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// TestKilledOverwriting kills a process after each step. The file is the old one
// then, or Finish makes it the new one.
func TestKilledOverwriting(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	long := strings.Repeat("long ", 5000)
	for _, tt := range []struct{ old, new string }{{"old", long}, {long, "new"}} {
		for _, at := range []struct {
			step           string
			finished, done bool // Finish has work; the content is the new one already
		}{
			{"previous", false, false}, {"pending", true, false}, {"written", true, false}, {"cut", true, true}, {"overwritten", true, true}, {"forgotten", false, true},
		} {
			t.Run(fmt.Sprintf("%s, %d to %d octets", at.step, len(tt.old), len(tt.new)), func(t *testing.T) {
				f := mounted(t, tt.old)
				child := exec.Command("/proc/self/exe")
				child.Env = append(os.Environ(), killedPath+"="+f.Path, killedStep+"="+at.step, "DURABLE_TEST_DATA="+tt.new)
				out, err := child.CombinedOutput()
				if child.ProcessState == nil || child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("the process ended with %v: %s", err, out)
				}
				finished, err := f.Finish()
				if err != nil || finished != at.finished {
					t.Errorf("Finish: %v, %v", finished, err)
				}
				want := tt.old
				if at.finished || at.done {
					want = tt.new
				}
				if got := get(t, f.Path); got != want {
					t.Errorf("the file is %.20q, want %.20q", got, want)
				}
				if again, err := f.Finish(); again || err != nil {
					t.Errorf("a second time: %v, %v", again, err)
				}
				if err := f.Replace([]byte("next")); err != nil || get(t, f.Path) != "next" {
					t.Errorf("the next save: %v", err)
				}
				if left := names(t, filepath.Dir(f.Pending)); len(left) > 0 {
					t.Errorf("beside the state are %q", left)
				}
			})
		}
	}
}

// TestFinishEveryTear finishes files that were torn at every octet, and leaves
// those alone that others have written since.
func TestFinishEveryTear(t *testing.T) {
	f := File{Path: filepath.Join(t.TempDir(), "a.json"), Pending: filepath.Join(t.TempDir(), "pending")}
	tear := func(now, old, data string) {
		put(t, f.Path, now)
		put(t, f.previous(), old)
		put(t, f.Pending, data)
	}
	for _, tt := range []struct{ old, new string }{
		{`["a"]`, `["a","b","c"]`}, {`["a","b","c"]`, `["a"]`}, {`["a"]`, `["b"]`}, {"", `["a"]`}, {`["a"]`, ""},
	} {
		for k := range len(tt.new) + 1 {
			now := tt.new[:k]
			if k < len(tt.old) {
				now += tt.old[k:]
			}
			zeros := now + strings.Repeat("\x00", max(0, len(tt.new)-len(now))) // after a power failure
			for _, torn := range []string{now, zeros} {
				tear(torn, tt.old, tt.new)
				if finished, err := f.Finish(); !finished || err != nil || get(t, f.Path) != tt.new {
					t.Errorf("%q to %q, torn to %q: %v, %v, %q", tt.old, tt.new, torn, finished, err, get(t, f.Path))
				}
				if left := names(t, filepath.Dir(f.Pending)); len(left) > 0 {
					t.Fatalf("beside the state are %q", left)
				}
			}
		}
	}
	for _, now := range []string{`["x"]`, `["a","b","c","d"]`, "", `["a"`} {
		tear(now, `["a"]`, `["a","b","c"]`)
		if finished, err := f.Finish(); finished || !errors.Is(err, ErrChanged) || get(t, f.Path) != now || get(t, f.Pending) != `["a","b","c"]` {
			t.Errorf("another's %q: %v, %v", now, finished, err)
		}
	}
}

// TestWriteFailsHalfway has the file system refuse the second half of a save: the
// old content is back, and nothing is pending.
func TestWriteFailsHalfway(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	f := mounted(t, "old")
	data := bytes.Repeat([]byte("n"), 1<<20)
	step = func(name string) {
		if name != "pending" {
			return
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 16, Max: 1 << 30}); err != nil {
			t.Error(err)
		}
	}
	defer func() { step = func(string) {} }()
	err := f.Replace(data)
	if limit := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 30, Max: 1 << 30}); limit != nil {
		t.Fatal(limit)
	}
	if !errors.Is(err, syscall.EFBIG) || errors.Is(err, ErrTorn) || get(t, f.Path) != "old" || f.IsPending() {
		t.Errorf("%v, the file has %d octets", err, len(get(t, f.Path)))
	}
}

// TestCreate makes files only where there is nothing.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "mine")
	for name, target := range map[string]string{"dangling": "none", "link": "file"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	for _, name := range []string{"file", "dangling", "link", "dir"} {
		if err := Create(filepath.Join(dir, name), []byte("ours")); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := names(t, dir); fmt.Sprint(got) != fmt.Sprint(before) || get(t, filepath.Join(dir, "file")) != "mine" {
		t.Errorf("the directory has %q", got)
	}
	if err := Create(filepath.Join(dir, "new"), []byte("ours")); err != nil || get(t, filepath.Join(dir, "new")) != "ours" {
		t.Errorf("a new file: %v", err)
	}
}

func TestIsMounted(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	f := mounted(t, "old")
	odd := filepath.Join(t.TempDir(), "a b\\c.json")
	put(t, odd, "")
	testmount.Bind(t, filepath.Join(filepath.Dir(f.Path), "host.json"), odd)
	for path, want := range map[string]bool{f.Path: true, odd: true, filepath.Join(filepath.Dir(f.Path), "host.json"): false, filepath.Dir(f.Path): false, "/none": false} {
		if got := IsMounted(path); got != want {
			t.Errorf("IsMounted(%s) is %v", path, got)
		}
		if got := isListed("/proc/self/mountinfo", path); got != want {
			t.Errorf("listed: %s is %v", path, got)
		}
	}
}
