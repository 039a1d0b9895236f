package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/keyfile"
)

// TestBadFiles loads every testdata/bad/*.json. The *.want beside it has a line
// for each problem, in their order: how it begins after the name of the file.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no files: ", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			configPath, accountsPath := "testdata/empty_object.json", "testdata/no_accounts.json"
			if strings.HasPrefix(filepath.Base(path), "config_") {
				configPath = path
			} else {
				accountsPath = path
			}
			s, snapshot, report, err := Load(configPath, accountsPath, nil)
			if s != nil || snapshot != nil || report == nil {
				t.Errorf("Load returns settings %v, snapshot %v, report %v", s, snapshot, report)
			}
			checkProblems(t, err, path, wantLines(t, path))
			if said := fmt.Sprint(err, report.Lines()); strings.Contains(said, "canary") {
				t.Errorf("a secret is shown: %s", said)
			}
		})
	}
}

func wantLines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(strings.TrimSuffix(path, ".json") + ".want")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// checkProblems compares the lines of err with how they shall begin.
func checkProblems(t *testing.T, err error, path string, want []string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	if p, ok := errors.AsType[*keyfile.Problem](err); !ok || p.File != path {
		t.Errorf("error %v is no *Problem of the file", err)
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("unexpected: %s", got[i])
		case i >= len(got):
			t.Errorf("missing: %s", want[i])
		case !strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(got[i], path), ": "), want[i]):
			t.Errorf("got  %s\nwant %s%s", got[i], path, want[i])
		}
	}
}
