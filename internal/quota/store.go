package quota

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"xoauth2-proxy/internal/durable"
)

const (
	// Keep is how long an hour is kept: a day, and the hour that runs.
	Keep = 25 * time.Hour
	// lockTimeout is how long Open waits for another process to close the file,
	// such as one that drains before a restart.
	lockTimeout = 5 * time.Second
	// fileName is the file in the directory that Open is given.
	fileName = "quota.db"
)

var (
	// ErrLocked: another process has the file.
	ErrLocked = errors.New("in use by another process")
	// ErrForeign: the file is a database of another program.
	ErrForeign = errors.New("is a database of another program: move it away, or name another state_dir")
)

var bucket = []byte("hours")

// hour is a key of the counts.
type hour struct {
	account string
	number  int64
}

// counts are those of an hour.
type counts struct{ messages, recipients uint32 }

// Store is the counts of all accounts. Its methods are safe for concurrent use.
type Store struct {
	db  *bolt.DB
	now func() time.Time

	mu      sync.Mutex // guards the fields below; a leaf
	hours   map[string]map[int64]counts
	unsaved map[hour]counts
	pruned  int64 // the hour of the last pruning
}

// Open opens the file in the directory dir. It makes both if they do not exist. A damaged
// file is renamed, see durable.SetAside, and an empty one takes its place; damaged is the
// new name. Errors: ErrLocked, ErrForeign and those of the file system, such as a full
// disk.
func Open(dir string) (s *Store, damaged string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("quota: %w", err)
	}
	path := filepath.Join(dir, fileName)
	s, err = open(path, lockTimeout)
	if err == nil || errors.Is(err, ErrLocked) || errors.Is(err, ErrForeign) || isOfSystem(err) {
		return s, "", err
	}
	var renameErr error
	if damaged, renameErr = durable.SetAside(path); renameErr != nil {
		return nil, "", errors.Join(err, renameErr)
	}
	s, err = open(path, lockTimeout)
	return s, damaged, err
}

// isOfSystem reports whether an error is the system's and says nothing about the content
// of the file.
func isOfSystem(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

func open(path string, patience time.Duration) (*Store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: patience})
	if errors.Is(err, berrors.ErrTimeout) {
		err = ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("quota: %s: %w", path, err)
	}
	s := &Store{db: db, now: time.Now, hours: make(map[string]map[int64]counts), unsaved: make(map[hour]counts)}
	if err := s.read(); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("quota: %s: %w", path, err)
	}
	return s, nil
}

// read loads the counts of the file, and removes those that are too old.
func (s *Store) read() error {
	oldest := s.oldest()
	return s.db.Update(func(tx *bolt.Tx) error {
		if first, _ := tx.Cursor().First(); first != nil && tx.Bucket(bucket) == nil {
			return ErrForeign
		}
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		var old [][]byte
		err = b.ForEach(func(k, v []byte) error {
			if len(k) < 9 || len(v) != 8 {
				return fmt.Errorf("record of %d and %d octets", len(k), len(v))
			}
			h := hour{string(k[8:]), int64(binary.BigEndian.Uint64(k))}
			if h.number < oldest {
				old = append(old, k)
				return nil
			}
			s.put(h, counts{binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])})
			return nil
		})
		for _, k := range old {
			err = errors.Join(err, b.Delete(k))
		}
		return err
	})
}

// oldest is the first hour that is kept.
func (s *Store) oldest() int64 { return s.now().Add(-Keep).Unix() / 3600 }

func (s *Store) put(h hour, c counts) {
	of := s.hours[h.account]
	if of == nil {
		of = make(map[int64]counts)
		s.hours[h.account] = of
	}
	of[h.number] = c
}

// Load calls each for every hour of the account that counts something.
func (s *Store) Load(account string, each func(hour int64, messages, recipients uint32)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, c := range s.hours[account] {
		each(number, c.messages, c.recipients)
	}
}

// Save replaces the counts of an hour of the account. Flush writes them.
func (s *Store) Save(account string, number int64, messages, recipients uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, c := hour{account, number}, counts{messages, recipients}
	s.put(h, c)
	s.unsaved[h] = c
}

// Flush writes the counts that were saved. When it returns nil, they are on the disk; after
// an error the next Flush tries again.
func (s *Store) Flush() error {
	s.mu.Lock()
	unsaved := s.unsaved
	s.unsaved = make(map[hour]counts)
	oldest := s.oldest()
	prune := oldest > s.pruned
	if prune {
		s.prune(oldest)
	}
	s.mu.Unlock()
	if len(unsaved) == 0 && !prune {
		return nil
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		if prune {
			if err := pruneFile(b, oldest); err != nil {
				return err
			}
		}
		for h, c := range unsaved {
			k := append(binary.BigEndian.AppendUint64(nil, uint64(h.number)), h.account...)
			v := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, c.messages), c.recipients)
			if err := b.Put(k, v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.putBack(unsaved)
		return fmt.Errorf("quota: %w", err)
	}
	return nil
}

// putBack leaves the counts that this Flush could not write to the next one.
func (s *Store) putBack(unsaved map[hour]counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, c := range unsaved {
		if _, newer := s.unsaved[h]; !newer {
			s.unsaved[h] = c
		}
	}
	s.pruned = 0
}

// prune removes counts from before the hour oldest.
func (s *Store) prune(oldest int64) {
	s.pruned = oldest
	for account, of := range s.hours {
		for number := range of {
			if number < oldest {
				delete(of, number)
			}
		}
		if len(of) == 0 {
			delete(s.hours, account)
		}
	}
}

// pruneFile removes hours before oldest, which are the first ones in the file.
func pruneFile(b *bolt.Bucket, oldest int64) error {
	c := b.Cursor()
	for k, _ := c.First(); k != nil && int64(binary.BigEndian.Uint64(k)) < oldest; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// Close flushes and closes the file.
func (s *Store) Close() error { return errors.Join(s.Flush(), s.db.Close()) }
