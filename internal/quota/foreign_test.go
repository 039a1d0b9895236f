package quota

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"xoauth2-proxy/internal/testmount"
)

// TestForeignDatabaseStays has a database of another program under our name.
func TestForeignDatabaseStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("mine"))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(filepath.Dir(path)); !errors.Is(err, ErrForeign) {
		t.Errorf("error %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, %v", err)
	}
}

// TestDamagedTwice keeps both damaged files.
func TestDamagedTwice(t *testing.T) {
	dir := t.TempDir()
	kept := make(map[string]string)
	for _, text := range []string{"first garbage", "second garbage"} {
		if err := os.WriteFile(filepath.Join(dir, FileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, damaged, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		kept[damaged] = text
	}
	for name, text := range kept {
		if got, err := os.ReadFile(name); err != nil || string(got) != text {
			t.Errorf("%s has %q, %v, want %q", name, got, err, text)
		}
	}
	if len(kept) != 2 {
		t.Errorf("kept are %v", kept)
	}
}

// TestFullDisk is an error of the start: a full disk does not damage a file.
func TestFullDisk(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	dir := t.TempDir()
	testmount.Disk(t, dir, "1m")
	testmount.Fill(t, dir)
	_, damaged, err := Open(dir)
	if !errors.Is(err, syscall.ENOSPC) || damaged != "" {
		t.Errorf("damaged %q, error %v", damaged, err)
	}
}
