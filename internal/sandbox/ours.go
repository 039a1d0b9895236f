package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// ErrInTheWay: a file that the sandbox did not write, or that was changed since,
// has the name of a file that it is to write.
var ErrInTheWay = errors.New("is in the way")

// A file of the sandbox has a mark with a hash of the rest of its text. It may be
// written again as long as the hash fits.
const markBegin = "written by the sandbox, which replaces it as long as it is unchanged: sha256 "

var markPattern = regexp.MustCompile(regexp.QuoteMeta(markBegin) + "[0-9a-f]{64}")

// emptyMark stands in a new text where mark puts the hash.
const emptyMark = markBegin + "0000000000000000000000000000000000000000000000000000000000000000"

// mark completes a text that has emptyMark in it once.
func mark(text []byte) []byte {
	sum := sha256.Sum256(text)
	return bytes.Replace(text, []byte(emptyMark), []byte(markBegin+hex.EncodeToString(sum[:])), 1)
}

// isMarked reports whether text is as mark returned it.
func isMarked(text []byte) bool {
	at := markPattern.FindIndex(text)
	if at == nil {
		return false
	}
	empty := bytes.Join([][]byte{text[:at[0]], []byte(emptyMark), text[at[1]:]}, nil)
	return bytes.Equal(mark(empty), text)
}

// checkFree returns an error that names every path at which there is something
// other than a file of the sandbox.
func checkFree(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if what := foreign(path); what != "" {
			errs = append(errs, fmt.Errorf("%s %w: %s", path, ErrInTheWay, what))
		}
	}
	if len(errs) > 0 {
		errs = append(errs, errors.New("move away what you want to keep and remove the rest, or name another directory with --dir; nothing was written"))
	}
	return errors.Join(errs...)
}

// foreign says why the file at path must stay; "" if there is none, or if it is a
// file of the sandbox.
func foreign(path string) string {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		return err.Error()
	case !info.Mode().IsRegular():
		return "it is no regular file"
	}
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return err.Error()
	case !markPattern.Match(text):
		return "the sandbox did not write it"
	case !isMarked(text):
		return "it was changed since the sandbox wrote it"
	case info.Mode().Perm()&0o200 == 0:
		return "it was made read-only"
	}
	return ""
}

// output is a file to write.
type output struct {
	path string
	text []byte
	mode fs.FileMode
}

// writeAll writes files. It replaces files of the sandbox only, and looks at all
// paths before it writes the first. After an error no file is there in part.
func writeAll(files ...output) (err error) {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.path
	}
	if err := checkFree(paths...); err != nil {
		return err
	}
	var made []string
	defer func() {
		for _, name := range made {
			_ = os.Remove(name) // without effect once it was renamed
		}
	}()
	for _, f := range files {
		name, err := writeBeside(f)
		if err != nil {
			return err
		}
		made = append(made, name)
	}
	for i, name := range made {
		if err := os.Rename(name, paths[i]); err != nil {
			return err
		}
	}
	return nil
}

// writeBeside writes a file under a new name in its directory.
func writeBeside(o output) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(o.path), "."+filepath.Base(o.path)+".new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(mark(o.text))
	if err = errors.Join(err, f.Chmod(o.mode), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
