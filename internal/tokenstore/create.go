package tokenstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"xoauth2-proxy/internal/durable"
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

// sealAnew replaces the store by one with the same records, all of them sealed with the key
// in use. It is a new file: in the old one unused pages would still have the clear text. s
// goes on with the new one.
func (s *Store) sealAnew(cfg Config) error {
	old := s.db
	err := old.View(func(from *bbolt.Tx) error {
		return s.build(cfg, func(to *bbolt.Tx) error { return s.copyTo(from, to) }, os.Rename)
	})
	if err != nil {
		return bare(err)
	}
	db, err := openDB(cfg.Path, cfg.LockTimeout)
	if err != nil {
		return err
	}
	s.db = db
	return bare(old.Close())
}

// copyTo seals all records of one database into another.
func (s *Store) copyTo(from, to *bbolt.Tx) error {
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
		sealed, err := s.encode(key, r)
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
