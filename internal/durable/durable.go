// Package durable puts files in the place of others so that a crash leaves the
// old one or the new one, whole.
package durable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Replace puts data in the place of the file, which only its owner may read
// (mode 0600). prepare, if it is not nil, may change the new file before it has
// any data. After an error the old file stands, unless it was the directory that
// could not be synced.
//
// One caller at a time may replace a file, over all processes: what a process
// that was killed left of an earlier time is removed.
func Replace(path string, data []byte, prepare func(*os.File) error) error {
	name, err := write(path, data, prepare)
	if err != nil {
		return err
	}
	if err := os.Rename(name, path); err != nil {
		_ = os.Remove(name)
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Rehearse does all that Replace does but put the new file in the place of the
// old one: whoever may not write there, or has no room, learns it.
func Rehearse(path string, data []byte, prepare func(*os.File) error) error {
	name, err := write(path, data, prepare)
	if err != nil {
		return err
	}
	return os.Remove(name)
}

// write makes the new file under a name of its own, beside the old one.
func write(path string, data []byte, prepare func(*os.File) error) (name string, err error) {
	dir, prefix := filepath.Dir(path), "."+filepath.Base(path)+".saving-"
	removeLeftovers(dir, prefix)
	f, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return "", err
	}
	defer func() {
		_ = f.Close() // the second time on success
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(0o600); err != nil {
		return "", err
	}
	if prepare != nil {
		if err := prepare(f); err != nil {
			return "", err
		}
	}
	if _, err := f.Write(data); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// removeLeftovers removes the files in dir that write made and nobody removed:
// they have secrets in them, and take room. One that cannot be removed is in
// nobody's way.
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

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
