package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// CheckNew finds out whether a result may be written to path: the path does not exist, or
// is a device or a pipe. For any other file the error is fs.ErrExist. Path "" is no path,
// and no error.
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

// WriteNew lets fill write to path, for which CheckNew must have returned nil. After an
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
