package tokenstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"xoauth2-proxy/internal/boltfile"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/oauth"
)

// Open opens the token store, or makes it. It checks all of it: when it returns no error,
// every record can be read. The package declares the errors that a caller can act on.
func Open(cfg Config) (*Store, error) {
	if cfg.LockTimeout <= 0 {
		cfg.LockTimeout = time.Second
	}
	s, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Path, err)
	}
	return s, nil
}

func open(cfg Config) (*Store, error) {
	info, err := os.Stat(cfg.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = create(cfg)
	case err != nil:
	case !info.Mode().IsRegular(), info.Size() == 0: // bbolt would make an empty file a database
		err = ErrDamaged
	}
	if err != nil {
		return nil, bare(err)
	}
	db, err := openDB(cfg.Path, cfg.LockTimeout)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, keys: cfg.Keys, cfg: cfg, now: time.Now}
	renew, err := s.check()
	if err == nil && info != nil && info.Mode().Perm()&0o077 != 0 { // it is ours
		err = bare(os.Chmod(cfg.Path, 0o600))
	}
	if err == nil && renew {
		err = s.sealAnew(cfg.Keys)
	}
	if err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// openDB opens the database. Errors: ErrInUse, ErrDamaged and those of the file system.
func openDB(path string, timeout time.Duration) (*boltfile.File, error) {
	return opened(boltfile.Open(path, timeout))
}

// opened makes errors of boltfile those of this package.
func opened(db *boltfile.File, err error) (*boltfile.File, error) {
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, boltfile.ErrInUse):
		return nil, ErrInUse
	case isOfSystem(err):
		return nil, bare(err)
	}
	return nil, fmt.Errorf("%w (%w)", ErrDamaged, err)
}

// isOfSystem reports whether an error is the system's and says nothing about the content
// of the file.
func isOfSystem(err error) bool {
	_, is := errors.AsType[syscall.Errno](err)
	return is
}

// check reads everything. renew reports that a record is in clear or sealed under an older
// key.
func (s *Store) check() (renew bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		if err := s.checkMeta(tx); err != nil {
			return err
		}
		renew = s.keys.CanSeal() && !s.keys.Current(string(tx.Bucket(bucketMeta).Get(keyCheck)))
		return tx.Bucket(bucketChains).ForEach(func(key, value []byte) error {
			if _, ok := chainOf(key); !ok {
				return ErrDamaged
			}
			if err := s.checkValue(key, string(value)); err != nil {
				return err
			}
			renew = renew || s.keys.CanSeal() && !s.keys.Current(string(value))
			return nil
		})
	})
	return renew && err == nil, err
}

// Check finds out whether Open would open the store, and changes nothing. There is
// nothing to find out about a file that does not exist. ErrInUse: another process has
// it open, and so can read it.
func Check(cfg Config) error {
	return read(cfg, func(s *Store) error {
		_, err := s.check()
		return err
	})
}

// Read calls each for every chain of the store, and changes nothing. A file that does not
// exist has none. The errors are those of Open.
func Read(cfg Config, each func(oauth.Chain, oauth.Record)) error {
	return read(cfg, func(s *Store) error {
		return s.db.View(func(tx *bbolt.Tx) error {
			if err := s.checkMeta(tx); err != nil {
				return err
			}
			return tx.Bucket(bucketChains).ForEach(func(key, value []byte) error {
				c, ok := chainOf(key)
				r, err := s.decode(key, string(value))
				if !ok {
					err = ErrDamaged
				}
				if err == nil {
					each(c, r)
				}
				return err
			})
		})
	})
}

// read has f read the store at cfg.Path, if there is one.
func read(cfg Config, f func(*Store) error) error {
	if _, err := os.Stat(cfg.Path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := opened(boltfile.OpenToRead(cfg.Path, checkPatience))
	if err == nil {
		err = errors.Join(f(&Store{db: db, keys: cfg.Keys, now: time.Now}), db.Close())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.Path, err)
	}
	return nil
}

// checkPatience is how long Check and Read wait for another process.
const checkPatience = 100 * time.Millisecond

// checkValue reports whether a record can be read. A sealed record that opens is as we
// wrote it, and is not parsed: parsing ten thousand records would take longer than all else
// at the start.
func (s *Store) checkValue(key []byte, value string) error {
	if seal.IsSealed(value) {
		_, err := s.unseal(key, value)
		return err
	}
	_, err := s.decode(key, value)
	return err
}

// checkMeta checks the version and the keys.
func (s *Store) checkMeta(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil || tx.Bucket(bucketChains) == nil || tx.Bucket(bucketOrphans) == nil {
		return fmt.Errorf("%w (it has no tokens)", ErrDamaged)
	}
	if v := string(meta.Get(keyVersion)); v != version {
		return fmt.Errorf("%w: it has %.20q, this one reads %q", ErrVersion, v, version)
	}
	sealed := string(meta.Get(keyCheck))
	if sealed == "" {
		return nil
	}
	text, err := s.keys.Open(sealed, checkContext)
	switch {
	case errors.Is(err, seal.ErrSealed), err == nil && text != checkText:
		return ErrDamaged
	case err != nil:
		return fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return nil
}
