package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReportOverwritesNothing has files in the way of a report: they stay, and it
// is told before the load.
func TestReportOverwritesNothing(t *testing.T) {
	for _, flag := range []string{"--json", "--html"} {
		for name, make := range map[string]func(path string) error{
			"file":      func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) },
			"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
			"read-only": func(path string) error { return os.WriteFile(path, []byte("mine"), 0o400) },
			"directory": func(path string) error { return os.Mkdir(path, 0o700) },
			"link":      func(path string) error { return os.Symlink(filepath.Dir(path)+"/none", path) },
		} {
			t.Run(flag+" "+name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "report")
				if err := make(path); err != nil {
					t.Fatal(err)
				}
				before, _ := os.ReadFile(path)
				var out, errs bytes.Buffer
				code := run(t.Context(), []string{"--target", "127.0.0.1:1", "--messages", "1", flag, path}, &out, &errs)
				if code != exitUsage || !strings.Contains(errs.String(), path+" is there already") {
					t.Errorf("exit code %d: %s", code, errs.String())
				}
				after, _ := os.ReadFile(path)
				entries, err := os.ReadDir(filepath.Dir(path))
				if err != nil || len(entries) != 1 || !bytes.Equal(before, after) {
					t.Errorf("%q became %q beside %v, %v", before, after, entries, err)
				}
			})
		}
	}
}
