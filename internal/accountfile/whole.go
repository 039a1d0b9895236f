package accountfile

import (
	"errors"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/keyfile"
)

// readWhole calls read when no writer of ours is in the middle of the accounts
// file, and returns what it returns. A file that is replaced is whole at any
// time; one that is overwritten is read with the lock of the writers, after an
// overwriting that was cut off has been finished. When that fails, the problem
// goes to ps and read is not called.
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
