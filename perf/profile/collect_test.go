package profile

import (
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCollect profiles this very process as a running proxy, draws, and compares with
// itself.
func TestCollect(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	web := httptest.NewServer(mux)
	defer web.Close()
	dir := t.TempDir()
	if err := (&Command{Running: web.URL + "/", Dir: dir, Time: 300 * time.Millisecond}).Run(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := diff(dir, dir, &out); err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		for _, name := range []string{k.name + ".pprof", k.name + ".svg", "diff-" + k.name + ".svg"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		if !strings.Contains(out.String(), k.title) {
			t.Errorf("%q is not in the comparison", k.title)
		}
	}
	svg, err := os.ReadFile(filepath.Join(dir, waiting+".svg"))
	if err != nil || !strings.Contains(string(svg), "TestCollect") {
		t.Errorf("this test's goroutine is not among those that wait: %v", err)
	}
}

func TestDiffNeedsBoth(t *testing.T) {
	if err := diff(t.TempDir(), t.TempDir(), &strings.Builder{}); err == nil {
		t.Error("a comparison of nothing")
	}
}

// TestForeignFolder has a folder with a file of another program.
func TestForeignFolder(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "cpu.pprof")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := setAside(dir); err == nil || !strings.Contains(err.Error(), "cpu.pprof") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(mine); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestSetAside: only a whole set of profiles is something to compare with.
func TestSetAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	if previous, err := setAside(dir); err != nil || previous != "" {
		t.Errorf("a first run has %q before it, %v", previous, err)
	}
	for _, k := range kinds {
		if err := os.WriteFile(filepath.Join(dir, k.name+".pprof"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	previous, err := setAside(dir)
	if err != nil || previous == "" {
		t.Fatalf("%q, %v", previous, err)
	}
	for _, k := range kinds {
		if _, err := os.Stat(filepath.Join(previous, k.name+".pprof")); err != nil {
			t.Error(err)
		}
	}
}
