package accountfile

import (
	"bytes"
	"errors"
	"os"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/keyfile"
)

// Load reads the file of b. Accounts that did not change since c read them are not
// read again; c may be nil. Problems go to ps; with any, the snapshot is nil.
func Load(b *Basis, c *Cache, ps *keyfile.Problems, report *keyfile.Report) *account.Snapshot {
	return b.readWhole(ps, report, func() *account.Snapshot {
		own := new(keyfile.Report)
		noteMode(b.Path, own)
		from, done := open(b.Path)
		defer done()
		snapshot, ok := c.read(b, from, ps, own)
		if !ok {
			return nil
		}
		own.Group()
		report.Take(own)
		return snapshot
	})
}

// open opens a file of accounts. One that is no regular file may be readable only
// once: it is read as a whole.
func open(path string) (from source, done func()) {
	whole := func() ([]byte, error) { return keyfile.Read(path) }
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		if f, err := os.Open(path); err == nil {
			return source{f, whole}, func() { _ = f.Close() }
		}
	}
	data, err := whole()
	return source{bytes.NewReader(data), func() ([]byte, error) { return data, err }}, func() {}
}

// noteMode warns when other users can read the file at path, which has secrets.
func noteMode(path string, report *keyfile.Report) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&(0o077) != 0 {
		report.Notef("%s: mode %04o lets other users at its secrets; chmod 600 is right", path, info.Mode().Perm())
	}
}

// readWhole calls read while no writer of ours is in the middle of the file. A file
// that is replaced is whole at any time. One that is overwritten is read under the
// lock of the writers, after a save that was cut off is finished. If that fails, the
// problem goes to ps, and read is not called.
func (b *Basis) readWhole(ps *keyfile.Problems, report *keyfile.Report, read func() *account.Snapshot) *account.Snapshot {
	t, err := newTarget(b)
	if err != nil || t.pending == "" || !durable.IsMounted(t.path) && !t.file().IsPending() {
		return read() // which says what is wrong with it
	}
	unlock, err := t.lock()
	switch {
	case err == nil:
		defer unlock()
	case errors.Is(err, ErrLocked), t.file().IsPending():
		ps.Add(&keyfile.Problem{File: b.Path, Message: err.Error()})
		return nil
	}
	finished, err := t.file().Finish()
	if err != nil {
		ps.Add(&keyfile.Problem{File: b.Path, Message: err.Error()})
		return nil
	}
	if finished {
		report.Notef("warning: %s: a save had been cut off and was finished from %s", b.Path, t.pending)
	}
	return read()
}
