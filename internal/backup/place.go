package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/boltfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/seal"
)

// Names in an archive.
const (
	keyName      = "seal.key"
	storeName    = "tokens.db"
	accountsName = accountfile.Name
)

// patience is how long to wait for a moment in which no transaction ends. Writers of the
// accounts wait for longer than that.
const patience = 5 * time.Second

// place is where a proxy has one of its files.
type place struct {
	name    string // in an archive
	what    string // for people
	path    string // "": nowhere
	setting string // which says where
	bolt    bool   // it is a database
}

// placesOf returns the places of a proxy with those settings, in the order in which they
// are restored.
func placesOf(s *config.Settings) []place {
	counts := ""
	if s.StateDir != "" {
		counts = filepath.Join(s.StateDir, quota.FileName)
	}
	return []place{
		{keyName, "key", seal.FileOf(s.Secrets.Ref), `"file:/path" as secrets.key in config.json`, false},
		{storeName, "token store", s.OAuth.TokenStore, "oauth.token_store in config.json", true},
		{quota.FileName, "counts", counts, "state_dir in config.json", true},
		{control.FileName, "orders", s.StateFile(control.FileName), "state_dir in config.json", false},
		{accountsName, "accounts", s.AccountsFile, "--accounts", false},
	}
}

func known(name string) bool {
	return slices.ContainsFunc(placesOf(new(config.Settings)), func(p place) bool { return p.name == name })
}

// read returns the file at the place, with symbolic links followed. The error is
// fs.ErrNotExist if there is none.
func (p place) read() (f file, err error) {
	info, err := os.Stat(p.path)
	if err != nil {
		return file{}, err
	}
	f = file{name: p.name, mode: info.Mode().Perm()}
	if p.bolt {
		f.data, err = boltfile.Snapshot(p.path, patience)
	} else {
		f.data, err = os.ReadFile(p.path)
	}
	if err != nil {
		return file{}, fmt.Errorf("%s: %s: %w", p.what, p.path, err)
	}
	return f, nil
}

// lock keeps processes from opening the databases among places until unlock is called.
func lock(places []place) (unlock func(), err error) {
	var open []*boltfile.File
	unlock = func() {
		for _, db := range open {
			_ = db.Close() // nothing was written
		}
	}
	for _, p := range places {
		if !p.bolt || p.path == "" {
			continue
		}
		if info, err := os.Stat(p.path); err == nil && info.Size() == 0 {
			continue
		}
		db, err := boltfile.OpenToRead(p.path, 0)
		switch {
		case err == nil:
			open = append(open, db)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, boltfile.ErrDamaged):
		case errors.Is(err, boltfile.ErrInUse):
			unlock()
			return nil, fmt.Errorf("%s: %s is %w: stop the proxy first", p.what, p.path, err)
		default:
			unlock()
			return nil, fmt.Errorf("%s: %w", p.what, err)
		}
	}
	return unlock, nil
}

// Unsaved returns the files with accounts that commands could not save, and that are not
// imported yet.
func Unsaved(s *config.Settings) (paths []string) {
	for _, dir := range []string{filepath.Dir(s.AccountsFile), filepath.Dir(s.StateFile("unsaved"))} {
		found, _ := filepath.Glob(filepath.Join(dir, "unsaved-accounts-*.json")) // the pattern is right
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
