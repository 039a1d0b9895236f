package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Explain adds to an error of writing the file at path what an operator can do. A file
// is replaced by a new one, so that its directory must be writable.
func Explain(path string, err error) error {
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %s is read-only for this process; under systemd with ProtectSystem=strict, "+
			"name it in ReadWritePaths=, or keep the file in the StateDirectory=", err, dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: a change replaces the file, so that user %d must be able to write in %s; "+
			"make it the owner of the directory, or keep the file in a directory that it owns", err, os.Geteuid(), dir)
	}
	return err
}
