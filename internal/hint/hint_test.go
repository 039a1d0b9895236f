package hint

import (
	"regexp"
	"testing"
)

// maxRemedy keeps a remedy within one line of a reply (RFC 5321 section 4.5.3.1.5), codes
// included.
const maxRemedy = 440

var nameForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// TestEntries: each ID has one entry, with a name of its own that Parse finds, a cause and
// a remedy in a form that fits replies and log lines.
func TestEntries(t *testing.T) {
	n, seen := 0, map[string]bool{}
	for _, g := range groups {
		n += len(g.entries)
	}
	for id := range All() {
		name := id.String()
		if got, ok := Parse(name); !nameForm.MatchString(name) || seen[name] || !ok || got != id {
			t.Errorf("%d: the name %q", id, name)
		}
		seen[name] = true
		for what, text := range map[string]string{"cause": id.Cause(), "remedy": id.Remedy()} {
			if text == "" || len(text) > maxRemedy || regexp.MustCompile(`[^ -~]|^ | $|\.$`).MatchString(text) {
				t.Errorf("%s: the %s %q", name, what, text)
			}
		}
		if regexp.MustCompile(`[^ -~\n]`).MatchString(id.How()) {
			t.Errorf("%s: %q", name, id.How())
		}
	}
	if n != len(seen) || n < 100 {
		t.Errorf("%d entries for %d names", n, len(seen))
	}
	if _, ok := Parse(""); ok || None.String() != "" || None.Remedy() != "" {
		t.Error("None has an entry")
	}
}
