package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// margin is how much longer than the rehearsed content the real one may be, in
// octets: a refresh token that is not known yet, sealed.
const margin = 64 << 10

// Rehearse finds out whether Replace would work, also for a content that is up
// to 64 KiB longer than data. It does all that Replace does but the last step,
// and leaves file and directories as they were. Errors: those of Replace.
func (f File) Rehearse(data []byte) error {
	data = append(data[:len(data):len(data)], make([]byte, margin)...)
	if IsMounted(f.Path) {
		return f.rehearseOverwriting(data)
	}
	err := f.rehearseRename(data)
	if cannotRename(err) {
		return f.rehearseOverwriting(data)
	}
	return err
}

// rehearseRename renames the new file over a second name of the old one: where the old
// file cannot be replaced, its second name cannot either.
func (f File) rehearseRename(data []byte) error {
	name, err := f.write(data)
	if err != nil {
		return err
	}
	second := name + "0" // a name of write's kind, see removeLeftovers
	err = os.Link(f.Path, second)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		err = nil
	case !cannotRename(err): // maybe only the second name is refused
		err = f.mayReplace()
	}
	if err == nil {
		err = os.Rename(name, second)
	}
	left := name
	if err == nil {
		left = second
	} else {
		_ = os.Remove(second)
	}
	if removed := os.Remove(left); err == nil {
		err = removed
	}
	if err != nil {
		return err
	}
	return SyncDir(filepath.Dir(f.Path))
}

// mayReplace looks for reasons against replacing the file that a second name cannot
// show.
func (f File) mayReplace() error {
	refused := &os.PathError{Op: "replace", Path: f.Path, Err: unix.EPERM}
	if attributes, ok := attributesOf(f.Path); ok && attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0 {
		return refused
	}
	file, err := os.Stat(f.Path)
	if err != nil {
		return err
	}
	dir, err := os.Stat(filepath.Dir(f.Path))
	if err != nil {
		return err
	}
	if me := os.Geteuid(); dir.Mode()&fs.ModeSticky != 0 && me != 0 && me != owner(file) && me != owner(dir) {
		return refused
	}
	return nil
}

func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// rehearseOverwriting does step 1 under other names, and takes the room that
// step 2 needs.
func (f File) rehearseOverwriting(data []byte) error {
	to, old, err := f.openOld()
	if err != nil {
		return err
	}
	defer to.Close()
	if err := f.makeDir(); err != nil {
		return err
	}
	err = allocate(to, len(data))
	if grown := int64(len(data) - len(old)); grown > 0 { // what is not used is given back
		_ = unix.Fallocate(int(to.Fd()), unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE, int64(len(old)), grown)
	}
	if err != nil {
		return err
	}
	first, err := f.beside(f.previous()).write(old)
	if err != nil {
		return err
	}
	second, err := f.beside(f.Pending).write(data)
	if err == nil {
		err = os.Remove(second)
	}
	return errors.Join(err, os.Remove(first), SyncDir(filepath.Dir(f.Pending)))
}
