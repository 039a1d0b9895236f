package durable

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// lockPause is between two tries to lock a directory.
const lockPause = 20 * time.Millisecond

// LockDir keeps other processes that lock the directory away until unlock is called.
// It waits for patience, and blocks its goroutine for that long. Errors: those of
// os.Open and of flock(2); EWOULDBLOCK means that another process has had the lock for so
// long.
func LockDir(dir string, patience time.Duration) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil // which ends the lock
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK), time.Now().After(deadline):
			_ = f.Close()
			return nil, err
		default:
			time.Sleep(lockPause)
		}
	}
}
