package app

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
)

// Golden lists of what operators, dashboards and mail servers rely on. A name
// that goes or comes fails here; one that comes on purpose is added with -update.

var updateGolden = flag.Bool("update", false, "write the lists in testdata/golden")

// checkGolden compares lines, as a set, with the list of that name.
func checkGolden(t *testing.T, name string, got []string) {
	t.Helper()
	slices.Sort(got)
	got = slices.Compact(got)
	path := filepath.Join("testdata", "golden", name+".txt")
	if *updateGolden {
		if err := os.WriteFile(path, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("new: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("others rely on these: if it is meant, go test ./internal/app -run %s -update, and tell it in CHANGELOG.md", t.Name())
	}
}

// libraryMetrics are of the Go runtime and of the process: they change with the
// library, the kernel and the version of Go.
var libraryMetrics = regexp.MustCompile(`^(go|process)_`)

// anyValue are labels whose values are not listed: those of the build, and the
// bounds of histograms.
var anyValue = regexp.MustCompile(`\b(version|revision|go_version|le)="[^"]*"`)

// TestGoldenMetrics: a running proxy serves these metrics, by name, labels and
// label values.
func TestGoldenMetrics(t *testing.T) {
	s := newStack(t, "alice@gmail.com")
	c, err := s.Client("alice@gmail.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := apptest.Send(c, "one"); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	page := s.Want(http.StatusOK, nil, http.MethodGet, "/metrics", "")
	var names []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "#") { // HELP and TYPE
			continue
		}
		name := line[:strings.LastIndexByte(line, ' ')]
		if !libraryMetrics.MatchString(name) {
			names = append(names, anyValue.ReplaceAllString(name, `$1="..."`))
		}
	}
	checkGolden(t, "metrics", names)
}
