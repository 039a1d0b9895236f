package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/durable"
)

// Move moves the files of a proxy with settings from to where settings to have them. Those
// that both have at one path stay. Files are removed when all are whole at their new
// place. No proxy with either settings may run.
func Move(out io.Writer, from, to *config.Settings) error {
	places, err := movable(from, to)
	if err != nil {
		return err
	}
	unlock, err := lock(places)
	if err != nil {
		return err
	}
	defer unlock()
	a := new(Archive)
	if err := a.collect(from, places); err != nil {
		return err
	}
	if len(a.files) == 0 {
		fmt.Fprintln(out, "nothing is left to move")
		return nil
	}
	if err := a.Restore(out, to, Options{WithKey: find(a.files, keyName) != nil}); err != nil {
		return err
	}
	if err := a.remove(from, places); err != nil {
		return fmt.Errorf("all files are at their new places, and not all are removed from the old ones: %w\nRun the command again", err)
	}
	for _, path := range Unsaved(from) {
		tell(out, "not moved", path+", which waits for accounts import")
	}
	return nil
}

// movable returns the places of from that are elsewhere in to.
func movable(from, to *config.Settings) (places []place, err error) {
	if _, err := os.Stat(from.AccountsFile); err != nil {
		if _, moved := os.Stat(to.AccountsFile); moved != nil { // else an earlier run was cut off
			return nil, err
		}
	}
	target := placesOf(to)
	for i, p := range placesOf(from) {
		same, err := samePath(p.path, target[i].path)
		switch {
		case err != nil:
			return nil, err
		case p.path == "" || same, p.name == keyName && target[i].path == "":
		case durable.IsMounted(p.path):
			return nil, fmt.Errorf("%s is mounted by itself and cannot be moved away: use backup and restore", p.path)
		default:
			places = append(places, p)
		}
	}
	return places, nil
}

// samePath reports whether two paths, which need not exist, are of one file.
func samePath(a, b string) (bool, error) {
	if a == "" || b == "" {
		return a == b, nil
	}
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(x, y), nil
	}
	a, errA = filepath.Abs(a)
	b, errB = filepath.Abs(b)
	return a == b, errors.Join(errA, errB)
}

// remove removes the files at places, of which the archive is a copy: the accounts first.
func (a *Archive) remove(s *config.Settings, places []place) error {
	return accountfile.Exclusive(s.Accounts(), func(durable.File) error {
		for _, p := range slices.Backward(places) {
			now, err := p.read()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if copied := find(a.files, p.name); copied == nil || !bytes.Equal(copied.data, now.data) {
				return fmt.Errorf("%s: %s has changed meanwhile, and stays", p.what, p.path)
			}
			real, err := filepath.EvalSymlinks(p.path)
			if err != nil {
				return err
			}
			if err := errors.Join(os.Remove(real), durable.SyncDir(filepath.Dir(real))); err != nil {
				return err
			}
			step(p.name)
		}
		return nil
	})
}
