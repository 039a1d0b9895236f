// Package descriptors is about file descriptors that run out.
package descriptors

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// reserved are kept for connections to providers and for files.
const reserved = 8

// Few reports whether the process, which has just been given fd, is about to
// run out of descriptors. The kernel gives out the lowest free number, so the next number
// tells. Few asks for it only if fd is high.
func Few(fd int) bool {
	var limit unix.Rlimit // may be changed from outside at any time
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || uint64(fd) < limit.Cur/2 {
		return false
	}
	next, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return true
	}
	_ = unix.Close(next)
	return uint64(next)+reserved >= limit.Cur
}

// Spare is a descriptor to give up when the process has no other.
type Spare struct {
	mu   sync.Mutex
	file *os.File // nil: it could not be opened
}

// Open takes the descriptor.
func (s *Spare) Open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, _ = os.Open(os.DevNull)
}

// Close gives the descriptor back for good.
func (s *Spare) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.file.Close()
}

// Lend has do use the descriptor in place of another one, which do must have closed at its
// end. It does not call do without a descriptor; that is taken then for the next time.
func (s *Spare) Lend(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.Close()
		do()
	}
	s.file, _ = os.Open(os.DevNull)
}
