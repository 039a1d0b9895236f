package flame

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// makeProfile builds a profile of stacks, given outermost first, and values.
func makeProfile(stacks map[string]int64) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	for stack, value := range stacks {
		s := &profile.Sample{Value: []int64{1, value}}
		names := strings.Split(stack, ";")
		for i := len(names) - 1; i >= 0; i-- {
			f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: names[i]}
			l := &profile.Location{ID: uint64(len(p.Location) + 1), Line: []profile.Line{{Function: f}}}
			p.Function, p.Location = append(p.Function, f), append(p.Location, l)
			s.Location = append(s.Location, l)
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

func TestFold(t *testing.T) {
	p := makeProfile(map[string]int64{"main;a;b": 30, "main;a": 10, "main;c": 60})
	root := Fold(p, "cpu")
	if root.Value != 100 || len(root.Children) != 1 {
		t.Fatalf("root = %+v", root)
	}
	main := root.Children[0]
	if main.Name != "main" || main.Value != 100 || len(main.Children) != 2 {
		t.Fatalf("main = %+v", main)
	}
	if a, c := main.Children[0], main.Children[1]; a.Name != "a" || a.Value != 40 || c.Name != "c" || c.Value != 60 {
		t.Errorf("a = %+v, c = %+v", a, c)
	}
	if n := Fold(p, "samples").Value; n != 3 {
		t.Errorf("%d samples, want 3", n)
	}
	if n := Fold(p, "no such type").Value; n != 100 {
		t.Errorf("default type: %d, want the type of the last", n)
	}
}

func TestCompare(t *testing.T) {
	now := Fold(makeProfile(map[string]int64{"main;a": 30, "main;b": 10}), "cpu")
	old := Fold(makeProfile(map[string]int64{"main;a": 100, "main;b": 50, "main;gone": 50}), "cpu")
	now.Compare(old)
	main := now.Children[0]
	if a, b := main.Children[0], main.Children[1]; a.Old != 20 || b.Old != 10 || main.Old != 40 {
		t.Errorf("a was %d, b was %d, main was %d, want 20, 10 and 40 after scaling", a.Old, b.Old, main.Old)
	}
	shares := Shares(now, old)
	for _, s := range shares {
		want := map[string]Share{"a": {"a", 75, 50}, "b": {"b", 25, 25}, "gone": {"gone", 0, 25}, "main": {"main", 0, 0}, "all": {"all", 0, 0}}[s.Name]
		if s != want {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
	if shares[0].Name != "a" || shares[1].Name != "gone" {
		t.Errorf("the most changed first: %+v", shares)
	}
}

// TestSVG: well-formed, escaped, and every frame that is wide enough is there.
func TestSVG(t *testing.T) {
	root := Fold(makeProfile(map[string]int64{"main.main;x/y/pkg.(*T).f[go.shape.<a&b>]": 999_000, "main.main;narrow": 1}), "cpu")
	root.Compare(Fold(makeProfile(map[string]int64{"main.main": 5}), "cpu"))
	for _, diff := range []bool{false, true} {
		var b strings.Builder
		if err := (Graph{Title: "a <title>", Unit: "nanoseconds", Root: root, Diff: diff}).WriteSVG(&b); err != nil {
			t.Fatal(err)
		}
		rects := 0
		dec := xml.NewDecoder(strings.NewReader(b.String()))
		for {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, b.String())
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
				rects++
			}
		}
		if rects != 3 {
			t.Errorf("%d frames, want 3: the narrow one is left out", rects)
		}
	}
}

func TestSVGEmpty(t *testing.T) {
	var b strings.Builder
	if err := (Graph{Title: "nothing", Root: Fold(makeProfile(nil), "cpu")}).WriteSVG(&b); err != nil || strings.Contains(b.String(), "NaN") {
		t.Errorf("%v, %s", err, b.String())
	}
}

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		name string
		w    float64
		want string
	}{
		{"a/b/pkg.f", 200, "a/b/pkg.f"}, {"a/b/pkg.function", 100, "pkg.function"}, {"a/b/pkg.function", 60, "pkg.fu.."}, {"pkg.f", 10, ""},
	} {
		if got := fit(tt.name, tt.w); got != tt.want {
			t.Errorf("%s in %v: %q, want %q", tt.name, tt.w, got, tt.want)
		}
	}
}
