package boltfile

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// put makes all records of a file say n.
func put(t testing.TB, f *File, n uint64) {
	t.Helper()
	err := f.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		for i := uint64(0); i < 50 && err == nil; i++ {
			value := make([]byte, 100+(n*i)%3000) // pages are freed and used again
			binary.BigEndian.PutUint64(value, n)
			err = b.Put(binary.BigEndian.AppendUint64(nil, i), value)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// said returns what all records of a snapshot say.
func said(t testing.TB, data []byte) (n uint64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, path)
	defer f.Close()
	err := f.View(func(tx *bbolt.Tx) error {
		records := 0
		n = binary.BigEndian.Uint64(tx.Bucket(bucket).Get(make([]byte, 8)))
		return errors.Join(tx.Bucket(bucket).ForEach(func(k, v []byte) error {
			if records++; binary.BigEndian.Uint64(v) != n {
				t.Errorf("record %x says %d, the first one %d", k, binary.BigEndian.Uint64(v), n)
			}
			return nil
		}), func() error {
			if records != 50 {
				t.Errorf("%d records", records)
			}
			return nil
		}())
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSnapshot copies a file that a writer has open and locked, while it writes: each copy is
// what one transaction left, and not an older one than was on disk before.
func TestSnapshot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f := mustOpen(t, path)
	defer f.Close()
	put(t, f, 1)
	for n := uint64(1); n < 40; n++ {
		before, tries := n, 0
		copied = func() { // between the copy and its check: the first copies are torn
			if tries++; tries <= 2 {
				n++
				put(t, f, n)
			}
		}
		data, err := Snapshot(path, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got := said(t, data); got != n || tries != 3 {
			t.Fatalf("the copy is of transaction %d after %d tries, want %d (before: %d)", got, tries, n, before)
		}
	}
	copied = func() {}
	stop, stopped := make(chan struct{}), make(chan uint64)
	go func() {
		n := uint64(1000)
		for ; ; n++ {
			select {
			case <-stop:
				stopped <- n
				return
			default:
				put(t, f, n)
			}
		}
	}()
	taken := 0
	for range 200 { // some meet a write and are refused
		data, err := Snapshot(path, 0)
		if err == nil {
			taken++
			said(t, data)
		} else if !errors.Is(err, ErrInUse) {
			t.Error(err)
		}
	}
	close(stop)
	last := <-stopped
	if data, err := Snapshot(path, 0); err != nil || said(t, data) != last-1 {
		t.Errorf("at rest: %v", err)
	}
	t.Logf("%d of 200 copies beside a writer", taken)
}

// TestSnapshotRefuses has files that cannot be copied.
func TestSnapshotRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	f := mustOpen(t, path)
	defer f.Close()
	put(t, f, 1)
	defer func() { copied = func() {} }()
	for _, tt := range []struct {
		name   string
		copied func()
		want   error
	}{
		{"it changes all the time", func() { put(t, f, 2) }, ErrInUse},
		{"another file takes its place", func() {
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path+".new", text, 0o600)
			}
			if err := errors.Join(err, os.Rename(path+".new", path)); err != nil {
				t.Fatal(err)
			}
		}, ErrInUse},
	} {
		copied = tt.copied
		if _, err := Snapshot(path, 0); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	copied = func() {}
	whole, err := Snapshot(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"cut off": whole[:len(whole)/2], "foreign": []byte("a text"), "zeros": make([]byte, len(whole))} {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Snapshot(at, 0); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := Snapshot(filepath.Join(dir, "empty"), 0); err != nil || len(data) > 0 {
		t.Errorf("empty: %d octets, %v", len(data), err)
	}
	if _, err := Snapshot(filepath.Join(dir, "none"), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}
