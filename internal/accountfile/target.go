package accountfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"xoauth2-proxy/internal/durable"
)

// lockPatience is how long to wait for another writer; none of ours takes that long.
const lockPatience = 10 * time.Second

// ErrLocked: another process has the lock, for longer than lockPatience.
var ErrLocked = errors.New("another process is changing the accounts")

// target is a file that is to be replaced.
type target struct {
	path    string      // with all symbolic links followed
	pending string      // see durable.File
	old     fs.FileInfo // nil: it does not exist
}

// newTarget finds the accounts file of b, which need not exist.
func newTarget(b *Basis) (*target, error) {
	t, err := targetAt(b.Path)
	if err == nil && b.StateDir != "" {
		t.pending = filepath.Join(b.StateDir, filepath.Base(t.path)+pendingSuffix)
	}
	return t, err
}

// pendingSuffix ends the name of the copy that finishes a save that was cut off.
const pendingSuffix = ".pending"

// targetAt follows path to the file, which need not exist.
func targetAt(path string) (*target, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if real, err = behindLinks(path); err == nil {
			return &target{path: real}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(real)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return &target{path: real, old: info}, nil
}

// mostLinks is how many symbolic links in a row are followed. The system follows
// fewer.
const mostLinks = 255

// behindLinks follows the symbolic links at path to a file that does not exist, and
// returns its path. Its directory must exist.
func behindLinks(path string) (string, error) {
	at := path
	for range mostLinks {
		dir, name := filepath.Split(at)
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		if errors.Is(err, fs.ErrNotExist) && at != path {
			return "", fmt.Errorf("%s is a symbolic link to %s, whose directory does not exist", path, at)
		}
		if err != nil {
			return "", err
		}
		at = filepath.Join(dir, name)
		to, err := os.Readlink(at)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EINVAL): // a file by now
			return at, nil
		case err != nil:
			return "", err
		case filepath.IsAbs(to):
			at = to
		default: // not cleaned: after a link, ".." is another directory than in the text
			at = dir + string(filepath.Separator) + to
		}
	}
	return "", fmt.Errorf("%s: %w", path, syscall.ELOOP)
}

// lock keeps other writers away until unlock is called. The lock is on the
// directory, since each change makes a new file.
func (t *target) lock() (unlock func(), err error) {
	dir := filepath.Dir(t.path)
	unlock, err = durable.LockDir(dir, lockPatience)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, err
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, ErrLocked
	case err != nil:
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return unlock, nil
}

// file is the target as it is saved. The owner stays, the mode of a new file is
// 0600. The caller has the lock.
func (t *target) file() durable.File {
	return durable.File{Path: t.path, Pending: t.pending, Prepare: t.keepOwner}
}

// keepOwner gives f the owner of the file that it is to replace.
func (t *target) keepOwner(f *os.File) error {
	if t.old == nil {
		return nil
	}
	return durable.KeepOwner(f, t.old)
}
