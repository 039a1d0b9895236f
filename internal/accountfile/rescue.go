package accountfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"xoauth2-proxy/internal/durable"
)

// Rescue keeps accounts that cannot be saved in their file and whose refresh
// tokens exist nowhere else. It writes them as a list that ReadImport reads, to a
// new file that only its owner may read, and returns the absolute path of that
// file. Secrets are sealed if there is a key.
func Rescue(b *Basis, entries []*Entry) (path string, err error) {
	texts := make([]string, len(entries))
	for i, e := range entries {
		if err := e.Seal(b.Keys); err != nil {
			return "", err
		}
		texts[i] = e.Text()
	}
	list := []byte("[" + strings.Join(texts, ",\n") + "]\n")
	name := "unsaved-accounts-" + time.Now().UTC().Format("20060102-150405.000000000") + ".json"
	var errs []error
	for _, dir := range rescueDirs(b) {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err == nil {
			err = durable.Create(path, list)
		}
		if err == nil {
			return path, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// rescueDirs returns the directories for Rescue, the best one first.
func rescueDirs(b *Basis) (dirs []string) {
	if b.StateDir != "" {
		dirs = append(dirs, b.StateDir)
	}
	dirs = append(dirs, filepath.Dir(b.Path))
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, home)
	}
	return append(dirs, os.TempDir())
}
