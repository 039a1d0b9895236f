package tokenstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"xoauth2-proxy/internal/seal"
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
	s := &Store{db: db, keys: cfg.Keys, now: time.Now}
	renew, err := s.check()
	if err == nil && info != nil && info.Mode().Perm()&0o077 != 0 { // it is ours
		err = bare(os.Chmod(cfg.Path, 0o600))
	}
	if err == nil && renew {
		err = s.sealAnew(cfg)
	}
	if err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// openDB opens the database. A damaged one makes bbolt panic or, where the
// file is shorter than it says, the memory fault; both are ErrDamaged here.
func openDB(path string, timeout time.Duration) (db *bbolt.DB, err error) {
	var file *os.File
	options := &bbolt.Options{Timeout: timeout, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		}}
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, options)
		return err
	})
	if err != nil {
		return nil, openError(err)
	}
	db.MaxBatchSize, db.MaxBatchDelay = batchSize, batchDelay
	if !isAt(file, path) { // another process has replaced it while we waited for the lock
		return nil, errors.Join(ErrInUse, db.Close())
	}
	return db, nil
}

// openError sorts the errors of bbolt: an error that is not the system's is about the
// content.
func openError(err error) error {
	_, isPath := errors.AsType[*os.PathError](err)
	_, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, ErrDamaged):
		return err
	case errors.Is(err, bolterrors.ErrTimeout):
		return ErrInUse
	case isPath || isErrno:
		return bare(err)
	}
	return fmt.Errorf("%w (%w)", ErrDamaged, err)
}

// isAt reports whether the file is the one at path.
func isAt(f *os.File, path string) bool {
	at, err := os.Stat(path)
	if err != nil {
		return false
	}
	is, err := f.Stat()
	return err == nil && os.SameFile(at, is)
}

// guard runs f on data that may be damaged.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w (%v)", ErrDamaged, p)
		}
	}()
	return f()
}

// check reads everything. renew reports that a record is in clear or sealed under an older
// key.
func (s *Store) check() (renew bool, err error) {
	err = guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			if err := s.checkMeta(tx); err != nil {
				return err
			}
			renew = s.keys.CanSeal() && !s.keys.Current(string(tx.Bucket(bucketMeta).Get(keyCheck)))
			err := tx.Bucket(bucketChains).ForEach(func(key, value []byte) error {
				if _, ok := chainOf(key); !ok {
					return ErrDamaged
				}
				if err := s.checkValue(key, string(value)); err != nil {
					return err
				}
				renew = renew || s.keys.CanSeal() && !s.keys.Current(string(value))
				return nil
			})
			if err != nil {
				return err
			}
			return checkPages(tx)
		})
	})
	return renew, err
}

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

// checkPages has bbolt look for damage that reading does not show: pages that
// are in use and free. It reads on a goroutine of its own, where a fault could
// not be caught, so all pages must have been read before.
func checkPages(tx *bbolt.Tx) (err error) {
	if err := tx.Bucket(bucketOrphans).ForEach(func(_, _ []byte) error { return nil }); err != nil {
		return err
	}
	for e := range tx.Check() { // to the end, or its goroutine stays
		if err == nil {
			err = fmt.Errorf("%w (%w)", ErrDamaged, e)
		}
	}
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
