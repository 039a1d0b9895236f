package plot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommitted: the plots in the tree are what the figures give, and the page shows
// each of them.
func TestCommitted(t *testing.T) {
	const data = "../../docs/perf/plots.json"
	plots, err := draw(data)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../BENCHMARKS.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, svg := range plots {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(data), name))
		if err != nil || string(text) != svg {
			t.Errorf("%s is not what %s gives (%v): go run ./perf plot", name, data, err)
		}
		if !strings.Contains(string(page), "(docs/perf/"+name+")") {
			t.Errorf("BENCHMARKS.md does not show %s", name)
		}
	}
	if len(plots) != 3 {
		t.Errorf("%d plots", len(plots))
	}
}

// TestRun: what is written is read again by the page, and figures without a place are
// an error.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		`{"version":"v1","plots":[{"file":"a.svg","title":"A","labels":["x","y"],"series":[{"name":"n","y":[1,2]}]}]}`: "",
		`{"plots":[{"file":"b.svg","series":[{"name":"n","x":[1],"y":[1,2]}]}]}`:                                       "b.svg: 1 series, 1 places for 2 figures of n",
		`{"plots":[{"file":"b.svg","labels":["x"],"series":[{"name":"n","y":[1,2]}]}]}`:                                "1 places for 2 figures of n",
		`{`: "unexpected end",
	} {
		data := filepath.Join(dir, "plots.json")
		if err := os.WriteFile(data, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := (&Command{Data: data}).Run()
		if want == "" {
			svg, readErr := os.ReadFile(filepath.Join(dir, "a.svg"))
			if err != nil || readErr != nil || !strings.Contains(string(svg), "v1") || strings.Count(string(svg), "<rect") != 3 {
				t.Errorf("%v, %v: %s", err, readErr, svg)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}
