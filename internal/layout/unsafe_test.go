package layout

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unsafeHome is the package that may use unsafe memory and link to unexported names of
// another package.
const unsafeHome = "internal/loop"

// TestUnsafe: package unsafe and go:linkname occur in internal/loop alone.
func TestUnsafe(t *testing.T) {
	root, found := "../..", 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		linked, direct := bytes.Contains(b, []byte("\n//go:linkname ")), usesUnsafe(b)
		switch {
		case !linked && !direct:
		case within(filepath.Dir(name), unsafeHome):
			found++
		default:
			t.Errorf("%s uses package unsafe or go:linkname, which belong in %s only", name, unsafeHome)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Errorf("nothing in %s was found to use them", unsafeHome)
	}
}

// usesUnsafe reports whether a file imports package unsafe.
func usesUnsafe(b []byte) bool {
	return bytes.Contains(b, []byte("\n\t\"unsafe\"\n")) || bytes.Contains(b, []byte("\nimport \"unsafe\"\n")) ||
		bytes.Contains(b, []byte("\n\t_ \"unsafe\"")) || bytes.Contains(b, []byte("\nimport _ \"unsafe\""))
}
