package tokenstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"xoauth2-proxy/internal/boltfile"
	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/oauth"
)

// create makes an empty store. It does nothing if another process has made one meanwhile.
func create(cfg Config) error {
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return err
	}
	s := &Store{keys: cfg.Keys}
	err := s.build(cfg, func(*bbolt.Tx) error { return nil }, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// sealAnew replaces the store by one with the same records, all of them sealed with the
// first of keys. It is a new file: in the old one unused pages would still have the old
// text. s goes on with the new one; after an error, with the old one.
func (s *Store) sealAnew(keys *seal.Keyring) error {
	var db *boltfile.File
	placed := false
	next := &Store{keys: keys, cfg: s.cfg}
	err := s.db.View(func(from *bbolt.Tx) error {
		fill := func(to *bbolt.Tx) error { return s.copyTo(from, to, next.encode) }
		return next.build(s.cfg, fill, func(made, path string) (err error) {
			if db, err = openDB(made, s.cfg.LockTimeout); err != nil {
				return err
			}
			if err = os.Rename(made, path); err != nil {
				return errors.Join(err, db.Close())
			}
			placed = true
			return nil
		})
	})
	if placed { // the old file has no name any more
		old := s.db
		s.db, s.keys = db, keys
		err = errors.Join(err, old.Close())
	}
	return bare(err)
}

// Rekey has the store use other keys. If another one is the first, all records are
// sealed anew, while other operations wait. After an error the store goes on with the
// keys that it had.
func (s *Store) Rekey(keys *seal.Keyring) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case keys.ID() == s.keys.ID():
		s.keys = keys
		return nil
	case !keys.CanSeal():
		return fmt.Errorf("token store: %w", seal.ErrNoKey)
	}
	return s.sealAnew(keys)
}

// KeyID names the key that the store is sealed with, "" for none.
func (s *Store) KeyID() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys.ID()
}

// copyTo copies all records of one database, as encode writes them, to another.
func (s *Store) copyTo(from, to *bbolt.Tx, encode func([]byte, oauth.Record) ([]byte, error)) error {
	orphans := to.Bucket(bucketOrphans)
	if err := from.Bucket(bucketOrphans).ForEach(orphans.Put); err != nil {
		return err
	}
	chains := to.Bucket(bucketChains)
	return from.Bucket(bucketChains).ForEach(func(key, value []byte) error {
		r, err := s.decode(key, string(value))
		if err != nil {
			return err
		}
		sealed, err := encode(key, r)
		if err != nil {
			return err
		}
		return chains.Put(key, sealed)
	})
}

// build makes a store, whole or not at all: under another name, which place
// then makes its own.
func (s *Store) build(cfg Config, fill func(*bbolt.Tx) error, place func(from, to string) error) error {
	dir := filepath.Dir(cfg.Path)
	f, err := os.CreateTemp(dir, filepath.Base(cfg.Path)+".new*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // has no effect after the rename
	if err := f.Close(); err != nil {
		return err
	}
	db, err := openDB(f.Name(), cfg.LockTimeout)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketChains, bucketOrphans} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := s.putMeta(tx); err != nil {
			return err
		}
		return fill(tx)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), cfg.Path); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// putMeta writes the version and the known text.
func (s *Store) putMeta(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if err := meta.Put(keyVersion, []byte(version)); err != nil || !s.keys.CanSeal() {
		return err
	}
	sealed, err := s.keys.Seal(checkText, checkContext)
	if err != nil {
		return err
	}
	return meta.Put(keyCheck, []byte(sealed))
}
