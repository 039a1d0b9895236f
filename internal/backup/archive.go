package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/seal"
)

const (
	// manifestName is the first entry of an archive.
	manifestName = "backup.json"
	// version is the number of the archive's format.
	version = 1
	// maxArchive bounds what is in an archive, in octets.
	maxArchive = 1 << 30
)

var (
	// ErrDamaged: the file is no archive, or is cut off or changed.
	ErrDamaged = errors.New("the archive is damaged, or is none that xoauth2-proxy backup made")
	// ErrVersion: the archive has another format.
	ErrVersion = errors.New("the archive is of another version of this program")
)

// Archive is a copy of a proxy's files.
type Archive struct {
	// Made is when the copy was made.
	Made  time.Time
	files []file
}

// file is a file in an archive.
type file struct {
	name string // of a place
	data []byte
	mode fs.FileMode // permissions
}

// manifest is the first entry.
type manifest struct {
	Version int       `json:"version"`
	Made    time.Time `json:"made"`
	Files   []entry   `json:"files"`
}

// entry describes a further entry.
type entry struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

func entryOf(f file) entry {
	sum := sha256.Sum256(f.data)
	return entry{f.name, len(f.data), hex.EncodeToString(sum[:])}
}

// Write writes the archive to path, which only its owner may read, whole and durably. A
// file that is there is replaced if overwrite is set; else the error is fs.ErrExist.
func (a *Archive) Write(path string, overwrite bool) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	if !overwrite {
		if err := durable.CheckNew(path); err != nil {
			return err
		}
	}
	packed, err := a.packAs(version)
	if err != nil {
		return err
	}
	return durable.Replace(path, packed, nil)
}

// packAs returns the text of the archive, with that number of its format.
func (a *Archive) packAs(version int) ([]byte, error) {
	m := manifest{Version: version, Made: a.Made}
	for _, f := range a.files {
		m.Files = append(m.Files, entryOf(f))
	}
	head, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	gz := gzip.NewWriter(&packed)
	to := tar.NewWriter(gz)
	for _, f := range append([]file{{manifestName, append(head, '\n'), 0o600}}, a.files...) {
		h := &tar.Header{Name: f.name, Mode: int64(f.mode.Perm()), Size: int64(len(f.data)), ModTime: a.Made}
		if err := to.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := to.Write(f.data); err != nil {
			return nil, err
		}
	}
	err = errors.Join(to.Close(), gz.Close())
	return packed.Bytes(), err
}

// Read reads the archive at path and checks that it is whole. Errors: ErrDamaged,
// ErrVersion and those of the file system.
func Read(path string) (*Archive, error) {
	packed, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	a, err := unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

func unpack(packed io.Reader) (*Archive, error) {
	gz, err := gzip.NewReader(packed)
	if err != nil {
		return nil, damaged(err)
	}
	text, err := io.ReadAll(io.LimitReader(gz, maxArchive)) // to the checksum at its end
	if err != nil {
		return nil, damaged(err)
	}
	from := tar.NewReader(bytes.NewReader(text))
	head, err := next(from)
	var m manifest
	if err == nil && head.name == manifestName {
		err = json.Unmarshal(head.data, &m)
	}
	switch {
	case err != nil:
		return nil, damaged(err)
	case head.name != manifestName:
		return nil, ErrDamaged
	case m.Version != version:
		return nil, fmt.Errorf("%w: it has format %d, this one reads %d", ErrVersion, m.Version, version)
	}
	a := &Archive{Made: m.Made}
	for _, want := range m.Files {
		f, err := next(from)
		if err != nil {
			return nil, damaged(err)
		}
		if entryOf(f) != want || find(a.files, f.name) != nil || !known(f.name) {
			return nil, fmt.Errorf("%w (%.40q)", ErrDamaged, f.name)
		}
		a.files = append(a.files, f)
	}
	if _, err := from.Next(); !errors.Is(err, io.EOF) {
		return nil, ErrDamaged
	}
	return a, nil
}

// damaged is ErrDamaged because of err, unless the file system is to blame.
func damaged(err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err
	}
	return fmt.Errorf("%w (%w)", ErrDamaged, err)
}

// next reads the next entry.
func next(from *tar.Reader) (f file, err error) {
	h, err := from.Next()
	if err != nil {
		return file{}, err
	}
	data, err := io.ReadAll(from)
	return file{h.Name, data, fs.FileMode(h.Mode).Perm()}, err
}

// find returns the file of that name, or nil.
func find(files []file, name string) *file {
	for i := range files {
		if files[i].name == name {
			return &files[i]
		}
	}
	return nil
}

// Keys returns the keys in the archive, nil if there are none.
func (a *Archive) Keys() *seal.Keyring {
	f := find(a.files, keyName)
	if f == nil {
		return nil
	}
	keys, err := seal.ParseKeyring(string(f.data))
	if err != nil { // Restore finds it too
		return nil
	}
	return keys
}
