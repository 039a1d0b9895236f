package durable

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// killedPath is, in the environment, the file that a process is to replace and
// be killed over.
const killedPath = "DURABLE_TEST_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedPath); path != "" {
		_ = Replace(path, []byte("new"), func(f *os.File) error {
			if _, err := f.WriteString("secret"); err != nil {
				return err
			}
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		})
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// rehearse is the rehearsal of Replace.
func rehearse(path string, data []byte, prepare func(*os.File) error) error {
	return File{Path: path, Prepare: prepare}.Rehearse(data)
}

// names lists a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestKilledReplace kills a process in the middle of a save. The old file stands,
// and the next save leaves nothing of the one before, but all files of others.
func TestKilledReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.json", "old")
	before := names(t, dir)
	for range 2 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), killedPath+"="+path)
		if err := child.Run(); child.ProcessState == nil || child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the process ended with %v", err)
		}
	}
	left := slices.DeleteFunc(names(t, dir), func(n string) bool { return slices.Contains(before, n) })
	if len(left) != 1 {
		t.Fatalf("two saves that were killed left %v, want the second one's", left)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
		t.Errorf("the file is %q, %v", text, err)
	}
	number := strings.LastIndexByte(left[0], '-') + 1
	prefix := left[0][:number]
	others := []string{
		prefix, prefix + "1x", prefix + "-1", left[0] + "~", left[0][1:], // no name of ours
		strings.Replace(left[0], "a.json", "b.json", 1), strings.Replace(left[0], "a.json", "aXjson", 1), // other files
		".a.json.20260102", ".a.json.1", "a.json.1", ".a.json.swp",
	}
	for _, name := range others {
		write(name, "mine")
	}
	if err := os.Mkdir(filepath.Join(dir, prefix+"7"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.json", filepath.Join(dir, prefix+"8")); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(append(others, "a.json", prefix+"7", prefix+"8")))
	for _, save := range []func(string, []byte, func(*os.File) error) error{rehearse, Replace} {
		if err := save(path, []byte("new"), nil); err != nil {
			t.Fatal(err)
		}
		if got := names(t, dir); !slices.Equal(got, want) {
			t.Errorf("in the directory are\n%q, want\n%q", got, want)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

// TestFailed has saves and rehearsals fail: the old file stands, and nothing is
// beside it.
func TestFailed(t *testing.T) {
	refuse := errors.New("another owner")
	for name, save := range map[string]func(string, []byte, func(*os.File) error) error{"Replace": Replace, "Rehearse": rehearse} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.json")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := save(path, []byte("new"), func(*os.File) error { return refuse }); !errors.Is(err, refuse) {
				t.Errorf("error %v", err)
			}
			if err := save(filepath.Join(dir, "none", "a.json"), []byte("new"), nil); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("without a directory: %v", err)
			}
			if text, err := os.ReadFile(path); err != nil || string(text) != "old" || len(names(t, dir)) != 1 {
				t.Errorf("the file is %q, %v, in a directory of %v", text, err, names(t, dir))
			}
		})
	}
}
