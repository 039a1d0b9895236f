package accounting

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Modes of files and directories: their group may read them.
const fileMode, dirMode = 0o640, 0o750

// openRegular opens a file of ours: not through a link, and not what could block.
func openRegular(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = file.Close()
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", path))
	}
	return file, nil
}

// lastLineEnd returns where the last whole line of a file of that size ends.
func lastLineEnd(file io.ReaderAt, size int64) (int64, error) {
	b := make([]byte, 64<<10)
	for size > 0 {
		part := b[:min(int64(len(b)), size)]
		if _, err := file.ReadAt(part, size-int64(len(part))); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return size - int64(len(part)) + int64(i) + 1, nil
		}
		size -= int64(len(part))
	}
	return 0, nil
}
