package reading

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"xoauth2-proxy/internal/accounting"
)

// StandardInput is the name that stands for it.
const StandardInput = "-"

// File is a file to read.
type File struct {
	Name string
	// Found: it was found in a directory, and need not be an accounting log.
	Found bool
}

// Files returns the files that the arguments stand for: a file, a directory or a pattern of
// filepath.Match each. Those of a directory or pattern come in the order of their names, in which
// rotated files come before the one that is written.
func Files(args []string) (list []File, err error) {
	for _, arg := range args {
		found, wrong := filesOf(arg)
		list, err = append(list, found...), errors.Join(err, wrong)
	}
	return list, err
}

func filesOf(arg string) (list []File, err error) {
	if arg == StandardInput {
		return []File{{Name: arg}}, nil
	}
	info, err := os.Stat(arg)
	if errors.Is(err, os.ErrNotExist) && strings.ContainsAny(arg, `*?[\`) {
		names, wrong := filepath.Glob(arg)
		if wrong == nil && names == nil {
			wrong = errors.New("no file has a name like it")
		}
		for _, name := range names {
			list = append(list, File{Name: name})
		}
		if wrong != nil {
			return nil, fmt.Errorf("cannot read %s: %w", arg, wrong)
		}
		return list, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read: %w", err)
	}
	if !info.IsDir() {
		return []File{{Name: arg}}, nil
	}
	entries, err := os.ReadDir(arg) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("cannot read: %w", err)
	}
	for _, e := range entries {
		if slices.Contains(accounting.Reserved, e.Name()) || accounting.IsAside(e.Name()) {
			continue
		}
		name := filepath.Join(arg, e.Name())
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			list = append(list, File{Name: name, Found: true})
		}
	}
	return list, nil
}

// Beginnings of compressed files: RFC 1952 and RFC 8878.
var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// maxWindow bounds what a compressed file may have us remember, in octets.
const maxWindow = 64 << 20

// unpacked returns the content of r, which may be compressed, and what ends its use.
func unpacked(r io.Reader) (content io.Reader, done func(), err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	begin, err := in.Peek(len(zstdMagic))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, nil, err
	case bytes.HasPrefix(begin, gzipMagic):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, err
		}
		return z, func() {}, nil
	case bytes.HasPrefix(begin, zstdMagic):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return in, func() {}, nil
}
