package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustOpen(t *testing.T, path string) *Orders {
	t.Helper()
	o := new(Orders)
	if damaged, err := o.Open(path); err != nil || damaged != "" {
		t.Fatalf("Open: damaged %q, error %v", damaged, err)
	}
	return o
}

func TestOrdersSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.json")
	start := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	o := mustOpen(t, path)
	mustSet(t, o, "a", Paused, start)
	mustSet(t, o, `b "quoted"`, Draining, start)
	mustSet(t, o, "c", Paused, start)
	mustSet(t, o, "c", Active, start)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	o = mustOpen(t, path)
	for id, want := range map[string]Order{"a": {Paused, start}, `b "quoted"`: {Draining, start}, "c": {}} {
		if got := o.Of(id); got.State != want.State || !got.Since.Equal(want.Since) {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
	if err := o.Retain(func(id string) bool { return id != "a" }); err != nil {
		t.Error(err)
	}
	if got := mustOpen(t, path).Of("a"); got != (Order{}) {
		t.Errorf("the order for a removed account is there again: %v", got)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestOrdersThatCannotBeKeptAreInForce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, "orders.json")
	o := mustOpen(t, path) // there is no such directory
	for range 2 {
		if _, err := o.Set("a", Paused, time.Time{}); err == nil {
			t.Error("an order that is not on the disk is reported as kept")
		}
	}
	if _, held := o.Held("a"); !held {
		t.Error("the order is not in force")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mustSet(t, o, "a", Paused, time.Time{}) // again, since it failed
	if got := mustOpen(t, path).Of("a"); got.State != Paused {
		t.Errorf("after the disk was mended: %v", got)
	}
}

func TestDamagedOrdersArePutAside(t *testing.T) {
	for _, text := range []string{"", "{", `{"orders": [{"account_id": "a", "state": "on fire"}]}`, `{"orders": [{"state": "paused"}]}`,
		`{"orders": [{"account_id": "a", "state": "active"}]}`} {
		path := filepath.Join(t.TempDir(), "orders.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := new(Orders)
		damaged, err := o.Open(path)
		if err != nil || damaged != path+".damaged" {
			t.Fatalf("%q: %q, %v", text, damaged, err)
		}
		if kept, err := os.ReadFile(damaged); err != nil || string(kept) != text {
			t.Errorf("%q was kept as %q, %v", text, kept, err)
		}
		mustSet(t, o, "b", Paused, time.Time{})
		if got := mustOpen(t, path).Of("b"); got.State != Paused {
			t.Errorf("%q: afterwards %v", text, got)
		}
	}
}

// TestFormats has files with and without a number of the format.
func TestFormats(t *testing.T) {
	for text, want := range map[string]error{
		`{"orders": [{"account_id": "a", "state": "paused"}]}`:               nil,
		`{"version": 1, "orders": [{"account_id": "a", "state": "paused"}]}`: nil,
		`{"version": 2, "orders": {"a": "paused"}}`:                          ErrVersion,
		`{"version": 2, "orders": []}`:                                       ErrVersion,
	} {
		path := filepath.Join(t.TempDir(), "orders.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var o Orders
		damaged, err := o.Open(path)
		if !errors.Is(err, want) || damaged != "" {
			t.Errorf("%s: %v, damaged %q", text, err, damaged)
		}
		if err != nil {
			if after, _ := os.ReadFile(path); string(after) != text {
				t.Errorf("%s became %s", text, after)
			}
			continue
		}
		if o.Of("a").State != Paused {
			t.Errorf("%s: %v", text, o.Of("a"))
		}
		if _, err := o.Set("b", Paused, time.Now()); err != nil {
			t.Error(err)
		}
		if after, _ := os.ReadFile(path); !strings.Contains(string(after), `"version": 1`) {
			t.Errorf("written: %s", after)
		}
	}
}
