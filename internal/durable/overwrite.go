package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var (
	// ErrMounted: the file is mounted by itself, as a container's single file
	// is, and there is no Pending to overwrite it safely.
	ErrMounted = errors.New("the file is mounted by itself and cannot be replaced: mount the directory that it is in, or set state_dir")
	// ErrTorn: the file was half overwritten and could be neither finished nor
	// restored. Pending has the whole new content, for Finish.
	ErrTorn = errors.New("the file is half overwritten")
	// ErrChanged: the file was changed after an overwriting was cut off: an
	// overwriting cannot have left this content.
	ErrChanged = errors.New("the file was changed after a save had been cut off")
)

// cannotRename reports whether a file can be replaced by overwriting only.
func cannotRename(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EXDEV)
}

// previous is the file with the old content while the file is overwritten.
func (f File) previous() string { return f.Pending + ".previous" }

// beside is a file in the directory of Pending.
func (f File) beside(path string) File { return File{Path: path, Prepare: f.Prepare} }

// overwriteSafely does the steps that the package comment lists.
func (f File) overwriteSafely(data []byte) error {
	to, old, err := f.openOld()
	if err != nil {
		return err
	}
	defer to.Close()
	if err := f.announce(to, old, data); err != nil {
		return errors.Join(err, remove(f.Pending), remove(f.previous()))
	}
	step("pending")
	if err := overwrite(to, data); err != nil {
		if restored := overwrite(to, old); restored != nil {
			return fmt.Errorf("%w (%w): %s has its whole content, and the next start or command finishes it", ErrTorn, err, f.Pending)
		}
		return errors.Join(err, f.forget())
	}
	step("overwritten")
	return f.forget()
}

// openOld opens the file for overwriting and reads what is in it.
func (f File) openOld() (to *os.File, old []byte, err error) {
	if f.Pending == "" {
		return nil, nil, ErrMounted
	}
	if to, err = os.OpenFile(f.Path, os.O_WRONLY, 0); err != nil {
		return nil, nil, err
	}
	if old, err = os.ReadFile(f.Path); err != nil {
		_ = to.Close()
		return nil, nil, err
	}
	return to, old, nil
}

// announce is step 1. It also reserves the room for data, so that step 2 has it.
func (f File) announce(to *os.File, old, data []byte) error {
	if err := f.makeDir(); err != nil {
		return err
	}
	if err := allocate(to, len(data)); err != nil {
		return err
	}
	if err := f.beside(f.previous()).byRename(old); err != nil {
		return err
	}
	step("previous")
	return f.beside(f.Pending).byRename(data)
}

// makeDir makes the directory of Pending.
func (f File) makeDir() error {
	dir := filepath.Dir(f.Pending)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil || f.Prepare == nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Prepare(d), d.Close())
}

// allocate reserves n octets for the file; not every file system can.
func allocate(to *os.File, n int) error {
	if n == 0 {
		return nil
	}
	err := unix.Fallocate(int(to.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, int64(n))
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return &os.PathError{Op: "allocate", Path: to.Name(), Err: err}
	}
	return nil
}

// overwrite is step 2.
func overwrite(to *os.File, data []byte) error {
	if _, err := to.WriteAt(data, 0); err != nil {
		return err
	}
	step("written")
	if err := to.Sync(); err != nil {
		return err
	}
	if err := to.Truncate(int64(len(data))); err != nil {
		return err
	}
	step("cut")
	return to.Sync()
}

// forget is step 3.
func (f File) forget() error {
	dir := filepath.Dir(f.Pending)
	if err := remove(f.Pending); err != nil {
		return err
	}
	if err := SyncDir(dir); err != nil {
		return err
	}
	step("forgotten")
	return remove(f.previous())
}

// remove removes a file that need not be there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// IsPending reports whether an overwriting is running or was cut off.
func (f File) IsPending() bool {
	if f.Pending == "" {
		return false
	}
	_, err := os.Stat(f.Pending)
	return err == nil
}

// Finish finishes an overwriting that was cut off, if there is one: the file has
// the new content then. Errors: ErrChanged, after which file and Pending are as
// they were, and those of the file system.
func (f File) Finish() (finished bool, err error) {
	if !f.IsPending() {
		return false, nil
	}
	data, err := os.ReadFile(f.Pending)
	if err != nil {
		return false, err
	}
	now, err := os.ReadFile(f.Path)
	if err != nil {
		return false, err
	}
	old, err := os.ReadFile(f.previous())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if !bytes.Equal(now, data) && (err != nil || !isMixture(now, old, data)) {
		return false, fmt.Errorf("%w: keep what you want of it and of %s, then remove the latter", ErrChanged, f.Pending)
	}
	to, err := os.OpenFile(f.Path, os.O_WRONLY, 0)
	if err != nil {
		return false, err
	}
	defer to.Close()
	if err := overwrite(to, data); err != nil {
		return false, err
	}
	return true, f.forget()
}

// isMixture reports whether an overwriting of old by data that was cut off may have left
// now: each octet is the old or the new one, or, past the old end, the zero of a block that
// was never written.
func isMixture(now, old, data []byte) bool {
	if len(now) < min(len(old), len(data)) || len(now) > max(len(old), len(data)) {
		return false
	}
	for i, c := range now {
		switch {
		case i < len(old) && c == old[i], i < len(data) && c == data[i], i >= len(old) && c == 0:
		default:
			return false
		}
	}
	return true
}
