package layout

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	// maxFile is the most lines that a file of Go code has, tests left out.
	maxFile = 350
	// maxPackage is the most lines that a package of the product has, tests left out.
	maxPackage = 3000
)

// tooBig lists the files and packages beyond the bounds, with the bound that holds until
// they are split. There is none.
var tooBig = map[string]int{}

// notProduct are folders whose packages may have more lines.
var notProduct = []string{"perf", "loadgen", "e2e"}

func TestSizes(t *testing.T) {
	root := "../.."
	packages := map[string]int{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		lines := bytes.Count(b, []byte("\n"))
		packages[filepath.Dir(name)] += lines
		bounded(t, name, lines, maxFile)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 8 {
		t.Fatalf("only %d packages were found", len(packages))
	}
	for pkg, lines := range packages {
		exempt := false
		for _, folder := range notProduct {
			exempt = exempt || within(pkg, folder)
		}
		if !exempt {
			bounded(t, pkg, lines, maxPackage)
		}
	}
}

// bounded reports a file or package with too many lines, and an exception that has become
// unnecessary.
func bounded(t *testing.T, name string, lines, bound int) {
	t.Helper()
	exception, ok := tooBig[name]
	switch {
	case ok && lines <= bound:
		t.Errorf("%s has %d lines: its exception in tooBig can go", name, lines)
	case ok && lines > exception, !ok && lines > bound:
		t.Errorf("%s has %d lines, more than %d", name, lines, max(bound, exception))
	}
}
