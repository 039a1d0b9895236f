package accountfile

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/keyfile"
)

// emptyAccounts is a new file of accounts.
const emptyAccounts = "{\n  \"accounts\": []\n}\n"

// EditOptions says how Edit changes a file.
type EditOptions struct {
	// Create makes the file if there is none.
	Create bool
	// DryRun checks everything and changes nothing.
	DryRun bool
	// Rehearse has a dry run do all steps of a change but the last one, even if there
	// is nothing to change: it fails where a change would fail.
	Rehearse bool
	// Cache, if not nil, is the cache of the program that loads the file.
	Cache *Cache
}

// Edit changes the file of b. change gets its content. The result is checked as a
// whole against b, and then replaces the old file in one step and durably. A file
// that is a mount point is overwritten; a copy in the state directory finishes a
// save that was cut off. Everything that change does not touch stays as it is: the
// form of the root, unknown keys, comments and order.
//
// Wrong entries stay byte for byte, unless change is about them: see ErrEntry.
//
// Writers exclude each other by a lock, which is held while change runs. An error of
// change is returned, and nothing is written; nor is anything written when change
// changes nothing. Other errors join a [*keyfile.Problem] for every mistake, or are of
// the file system. The snapshot is what the file says now.
func Edit(b *Basis, how EditOptions, change func(*List) error) (snapshot *account.Snapshot, err error) {
	err = Exclusive(b, func(file durable.File) (err error) {
		snapshot, err = edit(b, how, file, change)
		return err
	})
	return snapshot, err
}

// Exclusive calls do with the file of b as it is saved, which need not exist, while other
// writers are kept away. A save that was cut off is finished first.
func Exclusive(b *Basis, do func(durable.File) error) error {
	if b.Path == "" {
		return &keyfile.Problem{File: Name, Message: "is nowhere to be found; name the file with --accounts"}
	}
	target, err := newTarget(b)
	if err != nil {
		return err
	}
	unlock, err := target.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := target.file().Finish(); err != nil {
		return fmt.Errorf("%s: %w", b.Path, err)
	}
	return do(target.file())
}

// edit is Edit with the lock.
func edit(b *Basis, how EditOptions, file durable.File, change func(*List) error) (*account.Snapshot, error) {
	data, err := keyfile.Read(file.Path)
	switch {
	case err == nil:
	case how.Create && errors.Is(err, fs.ErrNotExist):
		data = []byte(emptyAccounts)
	default:
		return nil, &keyfile.Problem{File: b.Path, Message: err.Error()}
	}
	list, err := newList(b.Path, inMemory(data), how.Cache.pause())
	if err != nil {
		return nil, err
	}
	if err := change(list); err != nil {
		return nil, err
	}
	packed, snapshot, err := list.result(how.Cache, b)
	rehearse := how.DryRun && how.Rehearse
	if err != nil || !rehearse && (how.DryRun || !list.changed) {
		return snapshot, err
	}
	put := file.Replace
	if rehearse {
		put = file.Rehearse
	}
	if err := put(packed); err != nil {
		return nil, fmt.Errorf("%s: %w", b.Path, durable.Explain(file.Path, err))
	}
	return snapshot, nil
}

// ErrEntry says that an account would be wrong that a change makes or changes. It is
// found in an error that joins a [*keyfile.Problem] for every mistake.
var ErrEntry = errors.New("the account would be wrong")

// entryError is ErrEntry with the text of its cause alone.
type entryError struct{ error }

func (e entryError) Unwrap() []error { return []error{ErrEntry, e.error} }

// result returns the text of the changed file and what it says. Entries may be wrong that
// did not change.
func (l *List) result(c *Cache, b *Basis) ([]byte, *account.Snapshot, error) {
	packed := l.pack()
	snapshot, err := checkText(c, b, packed)
	if err != nil || !l.changed {
		return packed, snapshot, err
	}
	var errs []error
	wrong := make(map[*hujson.Object]bool)
	for _, e := range snapshot.LeftOut() {
		o := l.objectAt(e.Index)
		if wrong[o] = true; l.touched[o] {
			errs = append(errs, e.Err)
		}
	}
	switch {
	case len(errs) > 0:
		return nil, nil, entryError{errors.Join(errs...)}
	case !l.bindSealed(b.Keys, wrong):
		return packed, snapshot, nil
	}
	packed = l.pack()
	snapshot, err = checkText(c, b, packed)
	return packed, snapshot, err
}

// checkText reads data as if it were in the file of b.
func checkText(c *Cache, b *Basis, data []byte) (*account.Snapshot, error) {
	var ps keyfile.Problems
	snapshot, _ := c.read(b, inMemory(data), &ps, new(keyfile.Report))
	return snapshot, ps.Err()
}

// ReadEntry reads one account by itself. The error joins problems without file
// and line; without an error the account may go into the file of b.
func ReadEntry(b *Basis, e *Entry) (*account.Account, error) {
	var ps keyfile.Problems
	f := keyfile.Parse("", e.pack(), &ps, new(keyfile.Report))
	if f == nil {
		return nil, ps.Err()
	}
	f.Keys = b.Keys
	r := &accountReader{f: f, node: f.Root, basis: b}
	a := r.read()
	for _, p := range ps {
		p.Line = 0
	}
	if err := ps.Err(); err != nil {
		return nil, err
	}
	snapshot, err := account.NewSnapshot([]*account.Account{a})
	if err != nil {
		return nil, err
	}
	return snapshot.All()[0], nil
}
