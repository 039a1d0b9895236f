package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// CheckNew finds out whether a result may be written to path: there is nothing
// yet, or a device or a pipe. Anything else stays, and the
// error, fs.ErrExist, says so. Path "" is none.
func CheckNew(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil
	}
	switch _, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%s is there already (%w) and is not overwritten: name another file, or remove it", path, fs.ErrExist)
}

// WriteNew has fill write to path, of which CheckNew must think well. After an
// error there is no new file.
func WriteNew(path string, fill func(io.Writer) error) error {
	if err := CheckNew(path); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	_, err := os.Stat(path)
	device := err == nil
	if device {
		flags = os.O_WRONLY
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	err = errors.Join(fill(f), f.Close())
	if err != nil && !device {
		_ = os.Remove(path)
	}
	return err
}
