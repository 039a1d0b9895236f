package quota

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, damaged, err := Open(dir)
	if err != nil || damaged != "" {
		t.Fatalf("Open: damaged %q, error %v", damaged, err)
	}
	return s
}

func load(s *Store, account string) map[int64]counts {
	got := make(map[int64]counts)
	s.Load(account, func(hour int64, messages, recipients uint32) { got[hour] = counts{messages, recipients} })
	return got
}

func TestCountsSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := mustOpen(t, dir)
	now := time.Now().Unix() / 3600
	s.Save("a", now-1, 3, 30)
	s.Save("a", now, 1, 10)
	s.Save("a", now, 2, 20)
	s.Save("b", now, 7, 7)
	s.Save("b", now-30, 9, 9) // too old to count
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	defer s.Close()
	if got, want := load(s, "a"), (map[int64]counts{now - 1: {3, 30}, now: {2, 20}}); !maps.Equal(got, want) {
		t.Errorf("a: %v, want %v", got, want)
	}
	if got, want := load(s, "b"), (map[int64]counts{now: {7, 7}}); !maps.Equal(got, want) {
		t.Errorf("b: %v, want %v", got, want)
	}
	if got := load(s, "c"); len(got) != 0 {
		t.Errorf("c: %v", got)
	}
}

func TestOldHoursAreForgotten(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	start := time.Now()
	now := start.Unix() / 3600
	s.Save("a", now, 1, 1)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return start.Add(24 * time.Hour) }
	if err := s.Flush(); err != nil || len(load(s, "a")) != 1 {
		t.Errorf("after 24 hours: %v, error %v", load(s, "a"), err)
	}
	s.now = func() time.Time { return start.Add(27 * time.Hour) }
	s.Save("b", now+27, 1, 1)
	if err := s.Close(); err != nil || len(s.hours) != 1 {
		t.Errorf("after 27 hours: %v, error %v", s.hours, err)
	}
	s = mustOpen(t, dir)
	defer s.Close()
	if len(load(s, "a")) != 0 {
		t.Error("the file still has them")
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	defer s.Close()
	if _, err := open(filepath.Join(dir, FileName), time.Millisecond); !errors.Is(err, ErrLocked) {
		t.Errorf("error %v, want ErrLocked", err)
	}
}

func TestDamagedFileIsPutAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	garbage := bytes.Repeat([]byte("no database "), 2000)
	if err := os.WriteFile(path, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	s, damaged, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if kept, err := os.ReadFile(damaged); err != nil || !bytes.Equal(kept, garbage) {
		t.Errorf("%s: %v", damaged, err)
	}
}

func TestFailedFlushIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	now := time.Now().Unix() / 3600
	db := s.db
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.Save("a", now, 1, 1)
	if err := s.Flush(); err == nil {
		t.Fatal("wrote to a closed file")
	}
	reopened := mustOpen(t, dir)
	s.db = reopened.db
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	defer s.Close()
	if got := load(s, "a"); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
