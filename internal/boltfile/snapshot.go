package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Snapshot returns the database at path as one transaction left it, also while another
// process has it open and writes to it. It takes no lock. While writes follow one another too
// fast, it tries again for patience, and then returns ErrInUse. Other errors: ErrDamaged and
// those of the file system. An empty file is an empty copy.
//
// bbolt writes the pages of a transaction to places that the last one does not use, and the
// meta data after them: whenever a process dies, the last transaction is whole. So is a copy
// at whose end the file has the meta data that the copy has.
func Snapshot(path string, patience time.Duration) (data []byte, err error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(lockPause) {
		data, err = snapshot(path)
		if !errors.Is(err, ErrInUse) || time.Now().After(deadline) {
			return data, err
		}
	}
}

// copied is called between the copy and the second look at the meta data. Tests set it.
var copied = func() {}

// snapshot tries once. ErrInUse: the file changed meanwhile.
func snapshot(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	copied()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 && len(data) == 0 {
		return nil, nil
	}
	whole := bytes.NewReader(data)
	before, errBefore := readMeta(whole, whole.Size())
	after, errAfter := readMeta(file, info.Size())
	switch {
	case before != after || !isAt(file, path):
		return nil, fmt.Errorf("%w, which writes to it all the time: try again", ErrInUse)
	case errBefore != nil || errAfter != nil:
		return nil, errors.Join(errBefore, errAfter)
	}
	if err := before.check(whole); err != nil {
		return nil, err
	}
	return data[:int64(before.most)*before.pageSize], nil
}
