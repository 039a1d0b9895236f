// Package durable replaces files so that a crash leaves the old content or the
// new one, whole.
//
// A new file takes the place of the old one by rename(2). Where the system
// refuses that, because the file is mounted by itself (EBUSY) or the rename
// would cross file systems (EXDEV), the old file is overwritten, and a copy of
// the new content in another directory, Pending, finishes an overwriting that
// was cut off:
//
//  1. Pending.previous gets the old content, Pending the new one, both durably.
//     Until Pending is there the old content stands.
//  2. The file is overwritten, synced, cut to its new length and synced again.
//  3. Pending and then Pending.previous are removed.
//
// [File.Finish] does steps 2 and 3 when Pending is there.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// File is a file that is replaced as a whole. Only its owner may read it (mode 0600; a
// file that is overwritten keeps its mode). One caller at a time may use it, over all
// processes: the caller has a lock.
type File struct {
	// Path is the file, which is no symbolic link.
	Path string
	// Pending is where the new content is kept while the file is overwritten,
	// in a directory where files can be renamed. "": it is never overwritten.
	Pending string
	// Prepare, if not nil, may change a new file, or a new directory of Pending,
	// before it has any data.
	Prepare func(*os.File) error
}

// Replace replaces a file that is never overwritten; see [File.Replace].
func Replace(path string, data []byte, prepare func(*os.File) error) error {
	return File{Path: path, Prepare: prepare}.byRename(data)
}

// Replace makes data the content of the file. After an error the old content stands,
// unless only the directory could not be synced, or the error is ErrTorn. Other errors are
// ErrMounted and those of the file system.
func (f File) Replace(data []byte) error {
	if IsMounted(f.Path) {
		return f.overwriteSafely(data)
	}
	err := f.byRename(data)
	if cannotRename(err) {
		return f.overwriteSafely(data)
	}
	return err
}

// byRename puts a new file in the place of the old one.
func (f File) byRename(data []byte) error {
	name, err := f.write(data)
	if err != nil {
		return err
	}
	if err := os.Rename(name, f.Path); err != nil {
		_ = os.Remove(name)
		return err
	}
	return SyncDir(filepath.Dir(f.Path))
}

// write makes the new file under a name of its own, beside the old one.
func (f File) write(data []byte) (name string, err error) {
	dir, prefix := filepath.Dir(f.Path), "."+filepath.Base(f.Path)+".saving-"
	removeLeftovers(dir, prefix)
	to, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return "", err
	}
	defer func() {
		_ = to.Close() // the second time on success
		if err != nil {
			_ = os.Remove(to.Name())
		}
	}()
	if err := to.Chmod(0o600); err != nil {
		return "", err
	}
	if f.Prepare != nil {
		if err := f.Prepare(to); err != nil {
			return "", err
		}
	}
	if _, err := to.Write(data); err != nil {
		return "", err
	}
	if err := to.Sync(); err != nil {
		return "", err
	}
	return to.Name(), to.Close()
}

// removeLeftovers removes the files in dir that write made and no later step removed: they
// contain secrets, and take room. It ignores a file that cannot be removed.
func removeLeftovers(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		if ok && number != "" && strings.Trim(number, "0123456789") == "" && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// Change replaces the content of a file, which may be a symbolic link to it, by what change
// makes of it. Owner and mode stay.
func Change(path string, change func(string) string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return Replace(path, []byte(change(string(text))), func(f *os.File) error {
		if err := KeepOwner(f, info); err != nil {
			return err
		}
		return f.Chmod(info.Mode().Perm())
	})
}

// KeepOwner gives f the owner that was has: with another one, the program that reads the
// file could not do so any more. Only root can do so for another user.
func KeepOwner(f *os.File, was fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	old, ok1 := was.Sys().(*syscall.Stat_t)
	now, ok2 := info.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 || old.Uid == now.Uid && old.Gid == now.Gid {
		return nil
	}
	if err := f.Chown(int(old.Uid), int(old.Gid)); err != nil {
		return fmt.Errorf("the file belongs to another user, and only root can keep it so: %w", err)
	}
	return nil
}

// Create makes a file with that content, which only its owner may read, durably. If the
// name exists already, the error is fs.ErrExist. After any error there is no new file.
func Create(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close() // the second time on success
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SetAside renames a file that is damaged to end in ".damaged", or in
// ".damaged-2" and so on where those names are taken, and returns its new name.
func SetAside(path string) (name string, err error) {
	name = path + ".damaged"
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, os.Rename(path, name)
		} else if err != nil {
			return "", err
		}
		name = fmt.Sprintf("%s.damaged-%d", path, n)
	}
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
