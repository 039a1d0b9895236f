package quota

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"xoauth2-proxy/internal/boltfile"
)

const (
	// Keep is how long an hour is kept: a day, and the hour that runs.
	Keep = 25 * time.Hour
	// lockTimeout is how long Open waits for another process to close the file,
	// such as one that drains before a restart.
	lockTimeout = 5 * time.Second
	// FileName is the file in the directory that Open is given.
	FileName = "quota.db"
)

var (
	// ErrLocked: another process has the file.
	ErrLocked = errors.New("in use by another process")
	// ErrForeign: the file is a database of another program.
	ErrForeign = errors.New("is a database of another program: move it away, or name another state_dir")
	// ErrVersion: the file has another format.
	ErrVersion = errors.New("is of another version of this program: start that one, or move the file away to begin anew")
)

// version is the number of the file's format. Files without one are of version 1.
const version = "1"

var (
	bucketMeta, bucketHours = []byte("meta"), []byte("hours")
	keyVersion              = []byte("version")
)

// hour is a key of the counts.
type hour struct {
	account string
	number  int64
}

// counts are those of an hour.
type counts struct{ messages, recipients uint32 }

// Store is the counts of all accounts. Its methods are safe for concurrent use, but Flush
// and Close, which one goroutine at a time may call.
type Store struct {
	// Replaced, if not nil, is called by Flush after the file broke while it was in use: it
	// was renamed to kept, and a new file has all counts. It must be set before the first
	// Flush.
	Replaced func(kept string, why error)

	path string
	db   *boltfile.File
	now  func() time.Time

	mu      sync.Mutex // guards the fields below; a leaf
	hours   map[string]map[int64]counts
	unsaved map[hour]counts
	pruned  int64 // the hour of the last pruning
	failed  error // of the last Flush
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

// All calls each for every hour of every account.
func (s *Store) All(each func(account string, hour int64, messages, recipients uint32)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for account, of := range s.hours {
		for number, c := range of {
			each(account, number, c.messages, c.recipients)
		}
	}
}

// CopyTo writes the file to w as the last Flush left it.
func (s *Store) CopyTo(w io.Writer) error {
	if err := s.db.CopyTo(w); err != nil {
		return fmt.Errorf("quota: %w", err)
	}
	return nil
}

// Accounts returns those that have counts.
func (s *Store) Accounts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.hours))
}

// Save replaces the counts of an hour of the account. Flush writes them.
func (s *Store) Save(account string, number int64, messages, recipients uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, c := hour{account, number}, counts{messages, recipients}
	s.put(h, c)
	s.unsaved[h] = c
}
