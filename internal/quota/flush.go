package quota

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"go.etcd.io/bbolt"

	"xoauth2-proxy/internal/boltfile"
	"xoauth2-proxy/internal/durable"
)

// Flush writes the counts that were saved. When it returns nil, they are on the disk; after
// an error the next Flush tries again. A file that broke while it was in use is replaced.
func (s *Store) Flush() error {
	err := s.flush()
	if errors.Is(err, boltfile.ErrLost) {
		if renewErr := s.renew(err); renewErr != nil {
			err = errors.Join(err, renewErr)
		} else {
			err = s.flush()
		}
	}
	if err != nil {
		err = fmt.Errorf("quota: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
	return err
}

// Failing returns the error of the last Flush.
func (s *Store) Failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// renew puts the file aside, which broke because of why, and begins a new one with all
// counts.
func (s *Store) renew(why error) error {
	kept, err := durable.SetAside(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was removed
		kept = ""
	case err != nil:
		return err
	}
	db, err := openFile(s.path, lockTimeout)
	if err != nil {
		return err
	}
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := prepare(tx); return err }); err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	s.mu.Lock()
	for account, of := range s.hours {
		for number, c := range of {
			s.unsaved[hour{account, number}] = c
		}
	}
	s.mu.Unlock()
	if s.Replaced != nil {
		s.Replaced(kept, why)
	}
	return nil
}

// flush is Flush for a file that does not break.
func (s *Store) flush() error {
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
		return s.db.Lost()
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketHours)
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
	}
	return err
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
func pruneFile(b *bbolt.Bucket, oldest int64) error {
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
