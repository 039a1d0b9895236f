package quota

import (
	"maps"
	"strings"
	"testing"
	"time"
)

// TestRename: the counts of an earlier version's names are summed under the other name, once,
// however often the file is opened.
func TestRename(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Unix() / 3600
	s := mustOpen(t, dir)
	s.Save("a", now, 1, 10)
	s.Save("a", now-1, 2, 20)
	s.Save("b", now, 3, 30)
	s.Save("gone", now, 4, 40)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s = mustOpen(t, dir)
		s.Rename(func(old string) (string, bool) { return "\x00mailbox", strings.Contains("ab", old) })
		if got, want := load(s, "\x00mailbox"), (map[int64]counts{now: {4, 40}, now - 1: {2, 20}}); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if got := load(s, "gone"); !maps.Equal(got, map[int64]counts{now: {4, 40}}) {
			t.Errorf("a name that stays: %v", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
