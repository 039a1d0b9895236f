package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"xoauth2-proxy/internal/oneline"
)

// maxFile bounds a secret in a file. The key of a service account has 2,400
// octets.
const maxFile = 64 << 10

// ErrReference says that the secret that a reference names cannot be read.
var ErrReference = errors.New("the secret that is referred to cannot be read")

var errNoFile = errors.New("it is not a file")

// The kinds of reference.
const (
	kindEnv        = "env"
	kindFile       = "file"
	kindCredential = "credential"
)

// IsReference reports whether value stands for a secret that is elsewhere, or
// is sealed.
func IsReference(value string) bool {
	_, _, ok := splitReference(value)
	return ok || IsSealed(value)
}

// Resolve returns the secret that value stands for: see the package's overview. It returns
// plain text as it is, the empty one included. A reference to a missing or empty secret is
// an error (ErrReference). The errors of sealed values are those of OpenField. f is where
// the value stands.
func Resolve(value string, kr *Keyring, f Field) (string, error) {
	if IsSealed(value) {
		return kr.OpenField(value, f)
	}
	kind, name, ok := splitReference(value)
	if !ok {
		return value, nil
	}
	return read(kind, name)
}

// splitReference takes "env:NAME" and its like apart.
func splitReference(value string) (kind, name string, ok bool) {
	kind, name, ok = strings.Cut(value, ":")
	if !ok || kind != kindEnv && kind != kindFile && kind != kindCredential {
		return "", "", false
	}
	return kind, name, true
}

// read returns the secret that a reference names.
func read(kind, name string) (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("%s:%s: %w: %w", kind, printable(name), ErrReference, fmt.Errorf(format, args...))
	}
	switch kind {
	case kindEnv:
		v := os.Getenv(name)
		if v == "" {
			return fail("the environment variable is not set or empty")
		}
		return v, nil
	case kindCredential:
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		switch {
		case dir == "":
			return fail("CREDENTIALS_DIRECTORY is not set; it is for services of systemd with LoadCredential=")
		case name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/'):
			return fail("it must be the name of a file there")
		}
		name = filepath.Join(dir, name)
	case kindFile:
		if !filepath.IsAbs(name) {
			return fail("the path must begin with /")
		}
	}
	text, err := readFile(name)
	if err != nil {
		return fail("%w", err)
	}
	return text, nil
}

// readFile reads a small file and takes its last line end off.
func readFile(path string) (string, error) {
	// Opening a FIFO would wait for its writer, and some devices act when they are
	// opened: only a regular file is opened. O_NONBLOCK is for a FIFO that takes the
	// file's place in between; for files it means nothing.
	if info, err := os.Stat(path); err != nil {
		return "", bareError(err)
	} else if !info.Mode().IsRegular() {
		return "", errNoFile
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", bareError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", bareError(err)
	case !info.Mode().IsRegular():
		return "", errNoFile
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return "", bareError(err)
	case len(text) > maxFile:
		return "", fmt.Errorf("it has more than %d octets", maxFile)
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 {
		return "", errors.New("it is empty")
	}
	return string(text), nil
}

// bareError drops the path from an error of os: the caller names it.
func bareError(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// printable cuts what may be a secret in the place of a name, and keeps it to
// one line.
func printable(name string) string { return oneline.Cut(oneline.Text(name, '?'), 128) }
