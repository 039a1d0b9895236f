package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// removeFiles removes the files of all messages.
func (st *Store) removeFiles() error {
	if st.cfg.Mode != ModeDir {
		return nil
	}
	for _, id := range st.taken() {
		if !st.wrote(id) {
			continue
		}
		for _, ext := range []string{".eml", ".json"} {
			if err := os.Remove(st.file(id, ext)); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return nil
}

// wrote reports whether the files of a number are a message's, unchanged: the
// envelope has the digest of the content.
func (st *Store) wrote(id uint64) bool {
	envelope, err := os.ReadFile(st.file(id, ".json"))
	if err != nil {
		return false
	}
	content, err := os.ReadFile(st.file(id, ".eml"))
	if err != nil {
		return false
	}
	var m Message
	return json.Unmarshal(envelope, &m) == nil && m.ID == id && m.SHA256 == digest(content)
}

func (st *Store) file(id uint64, ext string) string {
	return filepath.Join(st.cfg.Dir, fmt.Sprintf("%06d%s", id, ext))
}

// messageFile matches the name of a message's file, whole or being written.
var messageFile = regexp.MustCompile(`^([0-9]{6,})\.(eml|json)(\.tmp)?$`)

// taken returns the numbers that file names in the directory have, in order.
func (st *Store) taken() (ids []uint64) {
	entries, _ := os.ReadDir(st.cfg.Dir) // a directory that cannot be read has no messages
	for _, e := range entries {
		m := messageFile.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		if id, err := strconv.ParseUint(m[1], 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// writeFiles writes content and envelope. The envelope comes last and whole: when
// NNNNNN.json is there, NNNNNN.eml is complete.
func (st *Store) writeFiles(m *Message) error {
	envelope, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeWhole(st.file(m.ID, ".eml"), m.Body); err != nil {
		return err
	}
	return writeWhole(st.file(m.ID, ".json"), append(envelope, '\n'))
}

// writeWhole makes a file, whole or not at all. A file that has the name already
// stays, and the error is fs.ErrExist.
func writeWhole(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(tmp, path)
}
