package boltfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// batchDelay is how long a call of Batch waits for others to share its write.
	batchDelay = 5 * time.Millisecond
	// lockPause is between two tries to lock a file.
	lockPause = 20 * time.Millisecond
)

var (
	// ErrInUse: another process has the file.
	ErrInUse = errors.New("in use by another process")
	// ErrDamaged: the file is no database, or a damaged one.
	ErrDamaged = errors.New("damaged, or not a database")
	// ErrLost: the file broke while it was open. Only Open can read it again.
	ErrLost = errors.New("the file broke while it was in use")
)

// File is an open database. Its methods are safe for concurrent use.
type File struct {
	db   *bbolt.DB
	lost chan struct{} // closed after a fault
	why  atomic.Pointer[error]

	mu      sync.Mutex // guards waiting; a leaf
	waiting []*write   // calls of Batch
}

// write is a call of Batch.
type write struct {
	change func(*bbolt.Tx) error
	done   chan error // capacity 1
}

// Open opens the database at path. A file that does not exist, or is empty, becomes an
// empty database. patience is how long it waits for another process to close the file.
// Errors: ErrInUse, ErrDamaged and those of the file system. A damaged file is not
// changed.
func Open(path string, patience time.Duration) (*File, error) {
	return open(path, patience, false)
}

// OpenToRead is Open for a file that exists and is not to be changed.
func OpenToRead(path string, patience time.Duration) (*File, error) {
	return open(path, patience, true)
}

func open(path string, patience time.Duration, readOnly bool) (*File, error) {
	f := &File{lost: make(chan struct{})}
	err := f.do(func() (err error) {
		f.db, err = bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				return openChecked(name, flag, mode, patience)
			}})
		return err
	})
	if errors.Is(err, ErrLost) {
		err = fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openChecked opens, locks and checks a file.
func openChecked(name string, flag int, mode os.FileMode, patience time.Duration) (*os.File, error) {
	file, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if flag&(os.O_RDWR|os.O_WRONLY) == 0 {
		how = syscall.LOCK_SH
	}
	if err = lock(file, how, patience); err == nil && !isAt(file, name) { // another process replaced it while we waited
		err = ErrInUse
	}
	if err == nil {
		err = check(file)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// lock takes the lock that bbolt takes: flock(2) gives it to the open file, once.
func lock(file *os.File, how int, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return err
		case time.Now().After(deadline):
			return ErrInUse
		default:
			time.Sleep(lockPause)
		}
	}
}

// isAt reports whether the file is the one at path.
func isAt(file *os.File, path string) bool {
	at, err := os.Stat(path)
	if err != nil {
		return false
	}
	is, err := file.Stat()
	return err == nil && os.SameFile(at, is)
}

// do runs op on a goroutine of its own. It does not wait for op after a fault of any
// operation: op may wait for a lock of bbolt for ever.
func (f *File) do(op func() error) error {
	if err := f.Lost(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- f.guard(op) }()
	return f.await(done)
}

func (f *File) await(done chan error) error {
	select {
	case err := <-done:
		return err
	case <-f.lost:
		return f.Lost()
	}
}

// guard runs op. If op panics, the file is lost.
func (f *File) guard(op func() error) (err error) {
	debug.SetPanicOnFault(true) // on this goroutine, which ends after op
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrLost, p)
			if f.why.CompareAndSwap(nil, &err) {
				close(f.lost)
			}
		}
	}()
	return op()
}

// Lost returns nil, or after a fault an error that is ErrLost.
func (f *File) Lost() error {
	if why := f.why.Load(); why != nil {
		return *why
	}
	return nil
}

// View runs read in a transaction, on another goroutine. After an error that is ErrLost,
// read may still be running.
func (f *File) View(read func(*bbolt.Tx) error) error {
	return f.do(func() error { return f.db.View(read) })
}

// CopyTo writes the database to w as the last transaction left it.
func (f *File) CopyTo(w io.Writer) error {
	return f.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// Update runs change in a transaction, on another goroutine. When it returns nil, the
// change is on the disk. After an error nothing has changed; after ErrLost, change may
// still be running.
func (f *File) Update(change func(*bbolt.Tx) error) error {
	return f.do(func() error { return f.db.Update(change) })
}

// Batch is Update that shares one write to the disk with other calls. change may run more
// than once.
func (f *File) Batch(change func(*bbolt.Tx) error) error {
	if err := f.Lost(); err != nil {
		return err
	}
	w := &write{change, make(chan error, 1)}
	f.mu.Lock()
	f.waiting = append(f.waiting, w)
	first := len(f.waiting) == 1
	f.mu.Unlock()
	if first {
		time.AfterFunc(batchDelay, f.writeBatch)
	}
	return f.await(w.done)
}

// writeBatch makes the changes that wait. A change that fails is left out, and the others
// are made without it.
func (f *File) writeBatch() {
	f.mu.Lock()
	batch := f.waiting
	f.waiting = nil
	f.mu.Unlock()
	for len(batch) > 0 {
		failed := -1
		err := f.guard(func() error {
			return f.db.Update(func(tx *bbolt.Tx) error {
				for i, w := range batch {
					if err := w.change(tx); err != nil {
						failed = i
						return err
					}
				}
				return nil
			})
		})
		if failed < 0 || errors.Is(err, ErrLost) {
			for _, w := range batch {
				w.done <- err
			}
			return
		}
		batch[failed].done <- err
		batch = append(batch[:failed], batch[failed+1:]...)
	}
}

// Close waits for running operations and closes the file. A lost file is abandoned, and
// the error is ErrLost.
func (f *File) Close() error { return f.do(f.db.Close) }
