package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/boltfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/durable"
)

// Collect copies the files of a proxy with those settings, which may run. withKey copies
// the key too.
func Collect(s *config.Settings, withKey bool) (*Archive, error) {
	var places []place
	for _, p := range placesOf(s) {
		if p.name == keyName && withKey && p.path == "" {
			return nil, errors.New("the key cannot be copied: secrets.key in config.json names no file")
		}
		if p.path != "" && (p.name != keyName || withKey) {
			places = append(places, p)
		}
	}
	a := &Archive{Made: time.Now().UTC().Truncate(time.Second)}
	if err := a.collect(s, places); err != nil {
		return nil, err
	}
	if find(a.files, accountsName) == nil {
		return nil, fmt.Errorf("there is no accounts file %s", s.AccountsFile)
	}
	return a, a.check(s.Secrets.Key)
}

// collect copies what is at places.
func (a *Archive) collect(s *config.Settings, places []place) error {
	return accountfile.Exclusive(s.Accounts(), func(durable.File) error {
		for _, p := range places {
			f, err := p.read()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			a.files = append(a.files, f)
		}
		return nil
	})
}

// Describe tells what is in the archive.
func (a *Archive) Describe(out io.Writer, s *config.Settings) {
	for _, p := range placesOf(s) {
		where := "none"
		if find(a.files, p.name) != nil {
			where = p.path
		} else if p.name == keyName && s.Secrets.Key.CanSeal() {
			where = s.Secrets.Key.ID() + " is not in the archive, in which nothing that is sealed can be read without it: keep a copy elsewhere"
		}
		tell(out, p.what, where)
	}
	for _, path := range Unsaved(s) {
		tell(out, "not in it", path+", which waits for accounts import")
	}
}

func tell(out io.Writer, what, text string) { fmt.Fprintf(out, "%-12s %s\n", what+":", text) }

// Options says how Restore restores.
type Options struct {
	// WithKey writes the key of the archive too.
	WithKey bool
	// Overwrite replaces files with another content. A key never is.
	Overwrite bool
}

// Restore writes the files of the archive to where s has them. It checks all of them first.
// No proxy with those files may run.
func (a *Archive) Restore(out io.Writer, s *config.Settings, o Options) error {
	files := a.files
	if !o.WithKey {
		files = nil
		for _, f := range a.files {
			if f.name != keyName {
				files = append(files, f)
			}
		}
	} else if find(files, keyName) == nil {
		return errors.New("there is no key in the archive")
	}
	places := placesOf(s)
	for _, p := range places {
		if p.path == "" && find(files, p.name) != nil {
			return fmt.Errorf("the archive has %s (%s), and nothing says where to put it: set %s", p.what, p.name, p.setting)
		}
	}
	if err := (&Archive{files: files}).check(s.Secrets.Key); err != nil {
		return err
	}
	unlock, err := lock(places)
	if err != nil {
		return err
	}
	defer unlock()
	if err := makeDir(filepath.Dir(s.AccountsFile)); err != nil { // for the lock
		return err
	}
	return accountfile.Exclusive(s.Accounts(), func(accounts durable.File) error {
		r := restoring{out: out, files: files, overwrite: o.Overwrite, accounts: accounts}
		return r.run(places)
	})
}

// restoring is a run of Restore.
type restoring struct {
	out       io.Writer
	files     []file
	overwrite bool
	accounts  durable.File
}

// run finds out whether all files can be written, and then writes them.
func (r *restoring) run(places []place) error {
	var todo []place
	var differ error
	for _, p := range places {
		f := find(r.files, p.name)
		if f == nil {
			if _, err := os.Stat(p.path); p.path != "" && err == nil {
				tell(r.out, p.what, p.path+" stays as it is")
			}
			continue
		}
		now, err := p.read()
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && len(now.data) == 0:
			todo = append(todo, p)
		case err == nil && bytes.Equal(now.data, f.data):
			tell(r.out, p.what, p.path+" is right already")
		case err != nil && !errors.Is(err, boltfile.ErrDamaged):
			differ = errors.Join(differ, err)
		case p.name == keyName:
			differ = errors.Join(differ, fmt.Errorf("%s: %s is there with another content, and a key is never overwritten: move it away", p.what, p.path))
		case !r.overwrite:
			differ = errors.Join(differ, fmt.Errorf("%s: %s is there with another content: make a backup of it, then say --overwrite", p.what, p.path))
		default:
			todo = append(todo, p)
		}
	}
	if differ != nil {
		return fmt.Errorf("nothing was changed:\n%w", differ)
	}
	return r.write(todo)
}

// write rehearses and writes the files of places.
func (r *restoring) write(places []place) error {
	for _, p := range places {
		if err := makeDir(filepath.Dir(p.path)); err != nil {
			return fmt.Errorf("%s: %w", p.what, err)
		}
		if err := r.target(p).Rehearse(find(r.files, p.name).data); err != nil {
			return fmt.Errorf("%s: %s: %w", p.what, p.path, err)
		}
	}
	for _, p := range places {
		if err := r.target(p).Replace(find(r.files, p.name).data); err != nil {
			return fmt.Errorf("%s: %s: %w\nRun the command again", p.what, p.path, err)
		}
		step(p.name)
		tell(r.out, p.what, p.path)
	}
	return nil
}

// step is called after each file that is written or removed. Tests set it.
var step = func(name string) {}

// target is the file at a place as it is replaced.
func (r *restoring) target(p place) durable.File {
	to := durable.File{Path: p.path}
	if real, err := filepath.EvalSymlinks(p.path); err == nil {
		to.Path = real
	}
	if p.name == accountsName {
		to.Path, to.Pending = r.accounts.Path, r.accounts.Pending
	}
	mode := find(r.files, p.name).mode
	to.Prepare = func(f *os.File) error {
		if err := giveOwner(f, to.Path); err != nil {
			return err
		}
		if info, err := f.Stat(); err != nil || info.IsDir() {
			return err
		}
		return f.Chmod(mode)
	}
	return to
}

// giveOwner gives f the owner of the file at path or, if there is none and we are root, of
// the nearest directory above it.
func giveOwner(f *os.File, path string) error {
	was, err := os.Stat(path)
	if err == nil {
		return durable.KeepOwner(f, was)
	}
	for os.Geteuid() == 0 && errors.Is(err, fs.ErrNotExist) {
		path = filepath.Dir(path)
		if was, err = os.Stat(path); err == nil {
			return durable.KeepOwner(f, was)
		}
	}
	return nil
}

// makeDir makes a directory and those above it; root gives it the owner of the one above.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return errors.Join(giveOwner(d, filepath.Join(dir, "..")), durable.SyncDir(filepath.Dir(dir)))
}
