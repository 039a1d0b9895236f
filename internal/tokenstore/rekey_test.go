package tokenstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"xoauth2-proxy/internal/seal"
)

// TestRekey seals the store with other keys while records are saved and loaded: none is
// lost, and the new key alone opens all of them afterwards.
func TestRekey(t *testing.T) {
	const writers, each = 4, 25
	path, keys := storePath(t), []string{seal.GenerateKey(), seal.GenerateKey(), seal.GenerateKey()}
	s := mustOpen(t, path, keyring(t, keys[0]))
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				c := chain(fmt.Sprintf("account-%d-%d", w, i), 1)
				if err := s.Save(c, testRecord(i)); err != nil {
					t.Error(err)
				}
				if _, ok, err := s.Load(c); !ok || err != nil {
					t.Errorf("a record that was saved is gone: %v", err)
				}
			}
		})
	}
	for n := 1; n < len(keys); n++ {
		ring := keyring(t, keys[n], keys[n-1])
		if err := s.Rekey(ring); err != nil || s.KeyID() != ring.ID() {
			t.Errorf("key %d: %v", n, err)
		}
	}
	wg.Wait()
	last := keyring(t, keys[2])
	if err := s.Rekey(last); err != nil { // the old key is dropped
		t.Error(err)
	}
	if err := s.Rekey(nil); !errors.Is(err, seal.ErrNoKey) || s.KeyID() != last.ID() {
		t.Errorf("without a key: %v", err)
	}
	if err := Check(Config{Path: path, Keys: last}); !errors.Is(err, ErrInUse) {
		t.Errorf("while it is open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for n, want := range []error{ErrSealed, ErrSealed, nil} {
		if err := Check(Config{Path: path, Keys: keyring(t, keys[n])}); !errors.Is(err, want) {
			t.Errorf("key %d: %v, want %v", n, err, want)
		}
	}
	again := mustOpen(t, path, last)
	for w := range writers {
		for i := range each {
			if r, ok, err := again.Load(chain(fmt.Sprintf("account-%d-%d", w, i), 1)); !ok || err != nil || r.Refresh != testRecord(i).Refresh {
				t.Errorf("account-%d-%d: %v, %v", w, i, ok, err)
			}
		}
	}
}

// TestRekeyFails has no room for a new file: the store goes on with its old key.
func TestRekeyFails(t *testing.T) {
	path, old := storePath(t), keyring(t, seal.GenerateKey())
	s := mustOpen(t, path, old)
	if err := s.Save(chain("a", 1), testRecord(1)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := s.Rekey(keyring(t, seal.GenerateKey())); err == nil || s.KeyID() != old.ID() {
		t.Errorf("%v, sealed with %s", err, s.KeyID())
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(chain("b", 1), testRecord(2)); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := mustOpen(t, path, old).Len(); n != 2 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
	if err := Check(Config{Path: path + ".none", Keys: old}); err != nil {
		t.Errorf("no file: %v", err)
	}
}
