package tokenstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"xoauth2-proxy/internal/boltfile"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/oauth"
)

// OrphanAge is how long the tokens of an account are kept that is gone from the
// accounts file.
const OrphanAge = 30 * 24 * time.Hour

const (
	version = "1"
	// checkText is what the known text says.
	checkText = "xoauth2-proxy token store"
	// checkContext is the context of the known text; no chain has it.
	checkContext = "tokenstore check"
	// maxID is the length of the longest account ID that a key has room for.
	maxID = 16 << 10
)

var (
	bucketMeta, bucketChains, bucketOrphans = []byte("meta"), []byte("chains"), []byte("orphans")
	keyVersion, keyCheck                    = []byte("version"), []byte("check")
)

// Errors of opening or using a store.
var (
	// ErrInUse: another process has the file open.
	ErrInUse = errors.New("the token store is in use by another process")
	// ErrDamaged: the file is not a token store, or is damaged.
	ErrDamaged = errors.New("the token store is damaged or no token store; it was not changed: restore it, or move it away to start with the configured refresh tokens")
	// ErrSealed: the file is sealed and the keys do not open it.
	ErrSealed = errors.New("the token store cannot be unsealed; it was not changed: configure the key that it was sealed with")
	// ErrVersion: the file is of a later version of this program.
	ErrVersion = errors.New("the token store is of another version of this program")
	// ErrAccountID: the account's ID is too long to be a key.
	ErrAccountID = errors.New("the account ID is too long")
)

// Config says where tokens are kept.
type Config struct {
	// Path is the file. It is made if it does not exist, with mode 0600; its
	// directory too, with mode 0700.
	Path string
	// Keys seal it. Without any it is in clear.
	Keys *seal.Keyring
	// LockTimeout is how long to wait for another process to close it.
	// Default: 1s.
	LockTimeout time.Duration
}

// Store is an open token store. It implements [oauth.Store].
type Store struct {
	mu      sync.RWMutex // guards the next two; held by readers while they use the database
	db      *boltfile.File
	keys    *seal.Keyring
	cfg     Config
	now     func() time.Time
	failing atomic.Pointer[error] // of the last write; nil after a success
}

var _ oauth.Store = (*Store)(nil)

// Close waits for running writes and closes the file. A file that broke while it was in
// use is abandoned.
func (s *Store) Close() error {
	s.mu.RLock() // a Rekey has ended
	defer s.mu.RUnlock()
	return bare(s.db.Close())
}

// CopyTo writes the file to w as the last Save left it.
func (s *Store) CopyTo(w io.Writer) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return bare(s.db.CopyTo(w))
}

// Failing returns why what was saved last is in memory only: the error of the last write,
// or that the file broke while it was in use. Nil: all is saved.
func (s *Store) Failing() error {
	if s.mu.TryRLock() { // else a Rekey uses the file
		defer s.mu.RUnlock()
		if err := s.db.Lost(); err != nil {
			return bare(err)
		}
	}
	if err := s.failing.Load(); err != nil {
		return *err
	}
	return nil
}

// write makes a change of the file durable, with those of other calls.
func (s *Store) write(change func(*bbolt.Tx) error) error {
	err := bare(s.db.Batch(change))
	if err == nil {
		s.failing.Store(nil)
	} else {
		s.failing.Store(&err)
	}
	return err
}

// Load implements oauth.Store.
func (s *Store) Load(c oauth.Chain) (r oauth.Record, ok bool, err error) {
	key, err := keyOf(c)
	if err != nil {
		return oauth.Record{}, false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var value string
	err = s.db.View(func(tx *bbolt.Tx) error {
		value = string(tx.Bucket(bucketChains).Get(key))
		return nil
	})
	if err != nil || value == "" {
		return oauth.Record{}, false, bare(err)
	}
	r, err = s.decode(key, value)
	return r, err == nil, err
}

// Save implements oauth.Store.
func (s *Store) Save(c oauth.Chain, r oauth.Record) error {
	key, err := keyOf(c)
	if err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	value, err := s.encode(key, r)
	if err != nil {
		return err
	}
	return s.write(func(tx *bbolt.Tx) error {
		chains, orphans := tx.Bucket(bucketChains), tx.Bucket(bucketOrphans)
		if err := chains.Put(key, value); err != nil {
			return err
		}
		return forget(chains, orphans, otherChains(chains, key))
	})
}

// Retain implements oauth.Store.
func (s *Store) Retain(live func(oauth.Chain) bool) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.now()
	var found, lost, dead [][]byte // keys
	err := s.db.View(func(tx *bbolt.Tx) error {
		orphans := tx.Bucket(bucketOrphans)
		return tx.Bucket(bucketChains).ForEach(func(key, value []byte) error {
			c, ok := chainOf(key)
			if !ok {
				return nil // keys were checked when the file was opened
			}
			since, alive := orphans.Get(key), live(c)
			switch {
			case alive && since != nil:
				found = append(found, bytes.Clone(key))
			case alive:
			case s.spent(key, string(value), now):
				dead = append(dead, bytes.Clone(key))
			case since == nil:
				lost = append(lost, bytes.Clone(key))
			case now.Sub(timeOf(since)) > OrphanAge:
				dead = append(dead, bytes.Clone(key))
			}
			return nil
		})
	})
	if err != nil || len(found)+len(lost)+len(dead) == 0 {
		return bare(err)
	}
	return s.write(func(tx *bbolt.Tx) error {
		chains, orphans := tx.Bucket(bucketChains), tx.Bucket(bucketOrphans)
		for _, key := range found {
			if err := orphans.Delete(key); err != nil {
				return err
			}
		}
		for _, key := range lost {
			if err := orphans.Put(key, timeBytes(now)); err != nil {
				return err
			}
		}
		return forget(chains, orphans, dead)
	})
}

// spent reports whether a record has no more use: its access token has expired, and it has
// no refresh token.
func (s *Store) spent(key []byte, value string, now time.Time) bool {
	r, err := s.decode(key, value)
	return err == nil && r.Refresh.IsZero() && !r.Access.IsZero() && now.After(r.Expiry)
}

// Len returns the number of chains that are kept.
func (s *Store) Len() (n int, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err = s.db.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket(bucketChains).Stats().KeyN
		return nil
	})
	return n, bare(err)
}

// otherChains returns the keys of the other chains of the account of key.
func otherChains(chains *bbolt.Bucket, key []byte) (others [][]byte) {
	prefix := key[:len(key)-fingerprintSize]
	c := chains.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		if len(k) == len(key) && !bytes.Equal(k, key) {
			others = append(others, bytes.Clone(k))
		}
	}
	return others
}

// forget deletes chains.
func forget(chains, orphans *bbolt.Bucket, keys [][]byte) error {
	for _, key := range keys {
		if err := errors.Join(chains.Delete(key), orphans.Delete(key)); err != nil {
			return err
		}
	}
	return nil
}

func timeBytes(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.Unix())) }

// timeOf reads the form of timeBytes; anything else is the zero time.
func timeOf(b []byte) time.Time {
	if len(b) != 8 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
}

// bare drops the path from an error of the file system: the caller names it.
func bare(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("token store: %s: %w", p.Op, p.Err)
	}
	if err != nil {
		return fmt.Errorf("token store: %w", err)
	}
	return nil
}
