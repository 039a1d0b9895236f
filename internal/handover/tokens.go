package handover

import (
	"context"
	"errors"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

// storeTimeout is how long Load and Save wait while the file changes hands, and for the
// other process.
const storeTimeout = 10 * time.Second

// ErrAway: this process does not have the file, and the one that has it does not answer.
var ErrAway = errors.New("the process that has the file does not answer")

// Tokens is the token store of a process that may give its file to another process, or get
// it from one. It implements [oauth.Store]: without the file it asks the process that has
// it. Its methods are safe for concurrent use.
type Tokens struct {
	open func() (*tokenstore.Store, error)

	mu   sync.RWMutex      // held for reading while the file is used
	file *tokenstore.Store // nil: this process does not have it

	shared atomic.Bool // there is another process, or was one

	lot   sync.Mutex // guards what follows; a leaf
	link  *frames.Conn
	moved chan struct{}        // closed when file or link has changed
	held  map[holding]saving   // what is not known to be on the disk
	last  map[oauth.Chain]bool // who saved it last since shared; true: the other process

	turns [64]sync.Mutex // one for some chains each: one writes at a time; before lot
}

// holding names what is held: the newest of each account and process.
type holding struct {
	account string
	others  bool // the other process sent it
}

// saving is a record that is to be saved.
type saving struct {
	chain  oauth.Chain
	record oauth.Record
}

// NewTokens returns the store whose file open opens.
func NewTokens(open func() (*tokenstore.Store, error)) (*Tokens, error) {
	t := &Tokens{open: open, moved: make(chan struct{}), held: make(map[holding]saving), last: make(map[oauth.Chain]bool)}
	var err error
	if t.file, err = open(); err != nil {
		return nil, err
	}
	return t, nil
}

// connect has the store use link; nil: there is no other process any more.
func (t *Tokens) connect(link *frames.Conn) {
	if link != nil {
		t.shared.Store(true)
	}
	t.lot.Lock()
	defer t.lot.Unlock()
	t.link = link
	t.wake()
}

// wake wakes those who wait for a change. Called with lot.
func (t *Tokens) wake() {
	close(t.moved)
	t.moved = make(chan struct{})
}

// where returns the connection to the other process, nil without one, and what is closed
// after a change.
func (t *Tokens) where() (link *frames.Conn, moved chan struct{}) {
	t.lot.Lock()
	defer t.lot.Unlock()
	return t.link, t.moved
}

// leave closes the file. What is saved from then on is held, and goes to the process that
// opens it.
func (t *Tokens) leave() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}

// takeBack opens the file, if this process does not have it, and saves what is held. An
// error of a record is that of its sender, which tries again.
func (t *Tokens) takeBack() (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		return nil
	}
	if t.file, err = t.open(); err != nil {
		t.file = nil
		return err
	}
	t.lot.Lock()
	held := maps.Clone(t.held)
	t.lot.Unlock()
	for name, is := range held {
		if t.put(is, name.others) == nil {
			t.release(name, is)
		}
	}
	t.lot.Lock()
	defer t.lot.Unlock()
	t.wake()
	return nil
}

// moveOn is called when the other process has the file: what it sent itself it saves itself,
// and what this one holds is sent again.
func (t *Tokens) moveOn() {
	t.lot.Lock()
	defer t.lot.Unlock()
	maps.DeleteFunc(t.held, func(name holding, _ saving) bool { return name.others })
	t.wake()
}

// Save implements oauth.Store. Without the file it returns when the process that has it has
// saved the record, or after storeTimeout an error; the record is held all the same.
func (t *Tokens) Save(c oauth.Chain, r oauth.Record) error {
	is, name := saving{c, r}, holding{account: c.AccountID}
	if saved, err := t.save(is, false); saved {
		return err
	}
	t.hold(name, is)
	return t.ask(func(ctx context.Context, link *frames.Conn) (done bool, err error) {
		if done, err = t.save(is, false); !done && link != nil {
			done, err = tellRecord(ctx, link, is)
		}
		if done && err == nil {
			t.release(name, is)
		}
		return done, err
	})
}

// ask tries until it is done, again after each change.
func (t *Tokens) ask(try func(ctx context.Context, link *frames.Conn) (done bool, err error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	for {
		link, moved := t.where()
		if done, err := try(ctx, link); done {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ErrAway
		}
	}
}

// save saves a record to the file; false: this process does not have it.
func (t *Tokens) save(is saving, others bool) (here bool, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.file == nil {
		return false, nil
	}
	return true, t.put(is, others)
}

// put writes a record to the file. If the other process wrote the chain last, neither the
// refresh token that was given last nor the newest access token is lost. Called with mu.
func (t *Tokens) put(is saving, others bool) error {
	if !t.shared.Load() {
		return t.file.Save(is.chain, is.record)
	}
	turn := &t.turns[int(is.chain.Fingerprint[0])%len(t.turns)]
	turn.Lock()
	defer turn.Unlock()
	t.lot.Lock()
	before, known := t.last[is.chain]
	t.lot.Unlock()
	if known && before != others {
		was, ok, err := t.file.Load(is.chain)
		if err != nil {
			return err
		}
		if ok {
			is.record = joined(was, is.record)
		}
	}
	err := t.file.Save(is.chain, is.record)
	if err == nil {
		t.lot.Lock()
		t.last[is.chain] = others
		t.lot.Unlock()
	}
	return err
}

func (t *Tokens) hold(name holding, is saving) {
	t.lot.Lock()
	defer t.lot.Unlock()
	t.held[name] = is
}

// release forgets what is saved, unless something newer is held.
func (t *Tokens) release(name holding, is saving) {
	t.lot.Lock()
	defer t.lot.Unlock()
	if t.held[name] == is {
		delete(t.held, name)
	}
}

// sendHeld has the other process save what this one holds.
func (t *Tokens) sendHeld(ctx context.Context) error {
	link, _ := t.where()
	t.lot.Lock()
	held := maps.Clone(t.held)
	t.lot.Unlock()
	for name, is := range held {
		if name.others {
			continue
		}
		if link == nil {
			return ErrAway
		}
		saved, err := tellRecord(ctx, link, is)
		if err != nil {
			return err
		}
		if !saved {
			return ErrAway
		}
		t.release(name, is)
	}
	return nil
}

// copyTo writes the file to w.
func (t *Tokens) copyTo(w *os.File) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.file == nil {
		return ErrAway
	}
	return t.file.CopyTo(w)
}

// Load implements oauth.Store. Without the file it asks the process that has it.
func (t *Tokens) Load(c oauth.Chain) (r oauth.Record, ok bool, err error) {
	err = t.ask(func(ctx context.Context, link *frames.Conn) (done bool, err error) {
		if r, ok, done, err = t.load(c); !done && link != nil {
			r, ok, done, err = askRecord(ctx, link, c)
		}
		return done, err
	})
	return r, ok, err
}

// load reads the file; here is false if this process does not have it.
func (t *Tokens) load(c oauth.Chain) (r oauth.Record, ok, here bool, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.file == nil {
		return r, false, false, nil
	}
	r, ok, err = t.file.Load(c)
	return r, ok, true, err
}

// Retain implements oauth.Store. The process that has the file does it.
func (t *Tokens) Retain(live func(oauth.Chain) bool) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.file == nil {
		return nil
	}
	return t.file.Retain(live)
}

// Rekey is tokenstore.Store.Rekey. Error: this process does not have the file.
func (t *Tokens) Rekey(keys *seal.Keyring) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.file == nil {
		return ErrAway
	}
	return t.file.Rekey(keys)
}

// KeyID is tokenstore.Store.KeyID, "" without the file.
func (t *Tokens) KeyID() string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.file == nil {
		return ""
	}
	return t.file.KeyID()
}

// Failing returns why what was saved last is in memory only; nil: it is not, or the other
// process knows.
func (t *Tokens) Failing() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.file == nil {
		return nil
	}
	return t.file.Failing()
}

// Close closes the file, if this process has it.
func (t *Tokens) Close() error { return t.leave() }
