// Package keytest holds the samples in configs against the tables of keys, and gives them to
// fuzz tests.
package keytest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/keyfile"
)

// Sample is an object of a sample, or an array of objects taken as one: its
// keys by path, each with the comments of its neighbours before it.
type Sample map[string]string

// AddFiles makes seeds of the files that match.
func AddFiles(f *testing.F, patterns ...string) {
	f.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

// Read reads the sample at that path.
func Read(t *testing.T, path string) Sample {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	root, err := hujson.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	s := make(Sample)
	s.add("", root)
	return s
}

func (s Sample) add(path string, v hujson.Value) {
	switch x := v.Value.(type) {
	case *hujson.Object:
		comments := ""
		for i := range x.Members {
			name := path + keyfile.MemberName(x, i)
			comments += " " + plain(string(x.Members[i].Name.BeforeExtra))
			s[name] += comments
			s.add(name+".", x.Members[i].Value)
		}
	case *hujson.Array:
		for _, e := range x.Elements {
			s.add(path, e)
		}
	}
}

// plain takes comment marks and line breaks out of comments.
func plain(comment string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(comment), func(w string) bool { return w == "//" }), " ")
}

// At returns the keys below path.
func (s Sample) At(t *testing.T, path string) Sample {
	t.Helper()
	below := make(Sample)
	for k, comments := range s {
		if rest, ok := strings.CutPrefix(k, path+"."); ok {
			below[rest] = comments
		}
	}
	if len(below) == 0 {
		t.Errorf("nothing below %s", path)
	}
	return below
}

// CheckExplained checks that s has every key of the table, and before it a comment
// with its documentation.
func CheckExplained[T any](t *testing.T, s Sample, table *keyfile.Table[T]) {
	t.Helper()
	for _, k := range table.Keys {
		comments, ok := s[k.Path]
		if !ok {
			t.Errorf("%s is not in the sample", k.Path)
		} else if !strings.Contains(comments, k.Doc) {
			t.Errorf("%s: %q is not said before it", k.Path, k.Doc)
		}
	}
}
