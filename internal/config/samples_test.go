package config

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tailscale/hujson"
)

const samples = "../../configs/"

func TestSamples(t *testing.T) {
	for _, tt := range []struct {
		config, accounts string
		unused           bool // keys without effect are shown too
	}{
		{"config.json", "accounts.json", false},
		{"config.complete.json", "accounts.complete.json", true},
	} {
		t.Run(tt.config, func(t *testing.T) {
			_, snapshot, report, err := Load(samples+tt.config, samples+tt.accounts, nil)
			if err != nil {
				t.Fatal(err)
			}
			if snapshot.Len() < 2 {
				t.Errorf("%d accounts", snapshot.Len())
			}
			for _, e := range report.Entries() {
				if e.Status == Unknown || e.Status != InForce && !tt.unused {
					t.Errorf("%v", e)
				}
			}
		})
	}
}

// TestCompleteConfigShowsDefaults checks that a value in the complete sample is
// the default, but for the listener and the providers.
func TestCompleteConfigShowsDefaults(t *testing.T) {
	s, _, _, err := Load(samples+"config.complete.json", samples+"accounts.complete.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := newDefaults()
	for _, part := range []struct{ got, want any }{
		{s.Server, want.Server}, {s.Upstream, want.Upstream}, {s.OAuth, want.OAuth},
		{s.Admin, want.Admin}, {s.Log, want.Log}, {s.Runtime, want.Runtime}, {s.Listeners[0], want.Listeners[0]},
	} {
		if !reflect.DeepEqual(part.got, part.want) {
			t.Errorf("got  %+v\nwant %+v", part.got, part.want)
		}
	}
}

// TestCompleteSamplesExplainEveryKey holds the complete samples against the
// tables: every key is there, and its documentation in a comment before it.
func TestCompleteSamplesExplainEveryKey(t *testing.T) {
	config := readSample(t, "config.complete.json")
	checkExplained(t, config, configTable)
	checkExplained(t, config.at(t, "listeners"), listenerTable)
	checkExplained(t, config.at(t, "providers.relay"), providerTable)
	accounts := readSample(t, "accounts.complete.json")
	checkExplained(t, accounts.at(t, "accounts"), accountTable)
}

// sample is an object of a sample, or an array of objects taken as one: its
// keys by path, each with the comments of its neighbours before it.
type sample map[string]string

func readSample(t *testing.T, name string) sample {
	t.Helper()
	data, err := os.ReadFile(samples + name)
	if err != nil {
		t.Fatal(err)
	}
	root, err := hujson.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	s := make(sample)
	s.add("", root)
	return s
}

func (s sample) add(path string, v hujson.Value) {
	switch x := v.Value.(type) {
	case *hujson.Object:
		comments := ""
		for i := range x.Members {
			name := path + memberName(x, i)
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

// at returns the keys below path.
func (s sample) at(t *testing.T, path string) sample {
	t.Helper()
	below := make(sample)
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

func checkExplained[T any](t *testing.T, s sample, table *table[T]) {
	t.Helper()
	for _, k := range table.keys {
		comments, ok := s[k.path]
		if !ok {
			t.Errorf("%s is not in the sample", k.path)
		} else if !strings.Contains(comments, k.doc) {
			t.Errorf("%s: %q is not said before it", k.path, k.doc)
		}
	}
}
