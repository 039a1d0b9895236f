package quota

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"xoauth2-proxy/internal/boltfile"
	"xoauth2-proxy/internal/durable"
)

// Open opens the file in the directory dir. It makes both if they do not exist. A damaged
// file is renamed, see durable.SetAside, and an empty one takes its place; damaged is the
// new name. Errors: ErrLocked, ErrForeign, ErrVersion and those of the file system, such as
// a full disk.
func Open(dir string) (s *Store, damaged string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("quota: %w", err)
	}
	path := filepath.Join(dir, FileName)
	s, err = open(path, lockTimeout)
	if err == nil || !isDamage(err) {
		return s, "", err
	}
	var renameErr error
	if damaged, renameErr = durable.SetAside(path); renameErr != nil {
		return nil, "", errors.Join(err, renameErr)
	}
	s, err = open(path, lockTimeout)
	return s, damaged, err
}

// isDamage reports whether an error is about the content of the file. Of the system's
// errors only EIO is: the disk cannot read what it has written.
func isDamage(err error) bool {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno == syscall.EIO
	}
	return !errors.Is(err, ErrLocked) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrVersion)
}

func open(path string, patience time.Duration) (*Store, error) {
	s := &Store{path: path, now: time.Now, hours: make(map[string]map[int64]counts), unsaved: make(map[hour]counts)}
	var err error
	if s.db, err = openFile(path, patience); err == nil {
		if err = s.read(); err != nil {
			_ = s.db.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("quota: %s: %w", path, err)
	}
	return s, nil
}

func openFile(path string, patience time.Duration) (*boltfile.File, error) {
	db, err := boltfile.Open(path, patience)
	if errors.Is(err, boltfile.ErrInUse) {
		err = ErrLocked
	}
	return db, err
}

// read loads the counts of the file, and removes those that are too old.
func (s *Store) read() error {
	oldest := s.oldest()
	return s.db.Update(func(tx *bbolt.Tx) error {
		b, err := prepare(tx)
		if err != nil {
			return err
		}
		var old [][]byte
		err = b.ForEach(func(k, v []byte) error {
			h, c, err := decode(k, v)
			switch {
			case err != nil:
			case h.number < oldest:
				old = append(old, k)
			default:
				s.put(h, c)
			}
			return err
		})
		for _, k := range old {
			err = errors.Join(err, b.Delete(k))
		}
		return err
	})
}

// decode reads a record of the file.
func decode(k, v []byte) (h hour, c counts, err error) {
	if len(k) < 9 || len(v) != 8 {
		return h, c, fmt.Errorf("record of %d and %d octets", len(k), len(v))
	}
	return hour{string(k[8:]), int64(binary.BigEndian.Uint64(k))},
		counts{binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])}, nil
}

// Read calls each for the counts in the file at path, and changes nothing. A file that does
// not exist has none. Errors: those of Check.
func Read(path string, each func(account string, hour int64, messages, recipients uint32)) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := boltfile.OpenToRead(path, 0)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketHours)
		if err := checkFormat(tx); err != nil || b == nil {
			return err
		}
		return b.ForEach(func(k, v []byte) error {
			h, c, err := decode(k, v)
			if err == nil {
				each(h.account, h.number, c.messages, c.recipients)
			}
			return err
		})
	})
	return errors.Join(err, db.Close())
}

// prepare checks the format of a file, or makes an empty one ours, and returns the bucket
// with the counts.
func prepare(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	if err := checkFormat(tx); err != nil {
		return nil, err
	}
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err == nil {
		err = meta.Put(keyVersion, []byte(version))
	}
	if err != nil {
		return nil, err
	}
	return tx.CreateBucketIfNotExists(bucketHours)
}

// checkFormat reports whether a file is empty, or of our format.
func checkFormat(tx *bbolt.Tx) error {
	if first, _ := tx.Cursor().First(); first != nil && tx.Bucket(bucketHours) == nil {
		return ErrForeign
	}
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return nil
	}
	if v := meta.Get(keyVersion); v != nil && string(v) != version {
		return fmt.Errorf("%w: it has format %.20q, this one reads %q", ErrVersion, v, version)
	}
	return nil
}

// Check finds out whether the file at path is whole and of our format, and changes
// nothing. Errors: ErrForeign, ErrVersion and those of boltfile.OpenToRead.
func Check(path string) error {
	db, err := boltfile.OpenToRead(path, 0)
	if err != nil {
		return err
	}
	return errors.Join(db.View(checkFormat), db.Close())
}
