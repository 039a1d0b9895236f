package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/share/peer"
	"xoauth2-proxy/internal/tokenstore"
)

// openedTimeout is how long the old process has to hear that the files are open.
const openedTimeout = 5 * time.Second

// Taker is the side of the new process.
type Taker struct {
	keys  *seal.Keyring
	step  func(string) // tests set it: called after each step
	link  *frames.Conn
	after sync.WaitGroup
	done  chan struct{} // closed when the old process has said all

	mu      sync.Mutex // guards what follows; a leaf
	aborted error
	stores  *Stores           // nil before Opened
	early   map[string]saving // records that came before it, by account
	ended   bool              // the old process has said all
}

// Stores are what a process has the files of. Any may be nil.
type Stores struct {
	Tokens     *Tokens
	Counts     *Counts
	Orders     *control.Orders
	Accounting *accounting.Log
	// Sharing has the limits of the mailboxes hold over both processes.
	Sharing *peer.Sharing
}

// NewTaker takes sock, at whose other end is a Giver. keys open the token store.
func NewTaker(sock *net.UnixConn, keys *seal.Keyring) *Taker {
	t := &Taker{keys: keys, done: make(chan struct{}), early: make(map[string]saving)}
	t.link = frames.New(sock, t.hear)
	return t
}

// Await looks whether this process can read what the old one wrote, and returns when that one
// has closed its files, or has ended: then the files can be opened. An error says that this
// process may not go on; so does the deadline of ctx.
func (t *Taker) Await(ctx context.Context) error {
	err := t.await(ctx)
	if why := t.abortion(); why != nil {
		err = why
	}
	if errors.Is(err, frames.ErrGone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot take over: %w", err)
	}
	return nil
}

func (t *Taker) await(ctx context.Context) error {
	var theirs hello
	if _, err := t.link.Ask(ctx, kindHello, ours, &theirs); err != nil {
		return err
	}
	if _, err := ours.common(theirs); err != nil {
		return err
	}
	t.reached(kindHello)
	var s snapshot
	files, err := t.link.Ask(ctx, kindSnapshot, nil, &s)
	if err != nil {
		return err
	}
	if err := t.check(s, files); err != nil {
		_, _ = t.link.Ask(ctx, kindRefuse, err.Error(), nil)
		return err
	}
	t.reached(kindSnapshot)
	_, err = t.link.Ask(ctx, kindReady, nil, nil)
	t.reached(kindReady)
	return err
}

// reached is called after each step.
func (t *Taker) reached(step string) {
	if t.step != nil {
		t.step(step)
	}
}

// check reads the copies, which it closes.
func (t *Taker) check(s snapshot, files []*os.File) (err error) {
	next := func(name string, check func(path string) error) {
		if len(files) == 0 {
			err = errors.Join(err, fmt.Errorf("%s: there is no copy", name))
			return
		}
		if wrong := check(fmt.Sprintf("/proc/self/fd/%d", files[0].Fd())); wrong != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, wrong))
		}
		_ = files[0].Close()
		files = files[1:]
	}
	if s.Tokens {
		next("token store", func(path string) error { return tokenstore.Check(tokenstore.Config{Path: path, Keys: t.keys}) })
	}
	if s.Counts {
		next("counts of the day", quota.Check)
	}
	for _, f := range files {
		_ = f.Close()
	}
	return err
}

func (t *Taker) abortion() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.aborted
}

// Opened tells the old process that this one has the files. From then on what that sends is
// saved. It returns nil too if the old process has ended.
func (t *Taker) Opened(s Stores) error {
	if s.Tokens != nil {
		s.Tokens.connect(t.link)
	}
	if s.Counts != nil {
		s.Counts.connect(t.link)
	}
	for early := t.begin(s); len(early) > 0; early = t.begin(s) {
		for _, is := range early {
			if s.Tokens == nil {
				break
			}
			if _, err := s.Tokens.save(is, true); err != nil {
				return fmt.Errorf("cannot save what the old process sent: %w", err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), openedTimeout)
	defer cancel()
	files, err := t.link.Ask(ctx, kindOpened, nil, nil)
	if why := t.abortion(); why != nil {
		return why
	}
	if err == nil {
		err = t.share(ctx, s.Sharing, files)
	}
	if err != nil && !errors.Is(err, frames.ErrGone) {
		return fmt.Errorf("cannot take over: %w", err)
	}
	t.after.Go(func() { t.inherit(s.Accounting) })
	return nil
}

// share has this process take connections and permits from one set with the old one.
func (t *Taker) share(ctx context.Context, s *peer.Sharing, files []*os.File) error {
	for i, f := range files {
		if i > 0 || s == nil {
			_ = f.Close()
			continue
		}
		sock, err := frames.From(f)
		if err != nil {
			return err
		}
		if err := s.Use(ctx, sock); err != nil {
			return err
		}
	}
	return nil
}

// inherit waits for the end of the old process, and ends its accounting files if it did not.
func (t *Taker) inherit(log *accounting.Log) {
	<-t.link.Gone()
	_ = log.Inherit() // a slow disk: the next process that opens the directory does it
}

// begin returns the records that came early, to be saved before any that comes later. When
// there are none, it has s used.
func (t *Taker) begin(s Stores) (early map[string]saving) {
	t.mu.Lock()
	defer t.mu.Unlock()
	early = t.early
	t.early = make(map[string]saving)
	if len(early) == 0 {
		t.stores = &s
	}
	return early
}

// hear is called for each message of the old process.
func (t *Taker) hear(m *frames.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case m.Kind == kindAbort:
		var why string
		_ = m.Body(&why)
		t.aborted = fmt.Errorf("the old process goes on: %s", why)
		_ = m.Answer(nil, nil)
	case m.Kind == kindDone:
		if !t.ended {
			t.ended = true
			close(t.done)
		}
		_ = m.Answer(nil, nil)
	case m.Kind == kindRecord && t.stores == nil:
		var r record
		err := m.Body(&r)
		if err == nil {
			is := r.saving()
			t.early[is.chain.AccountID] = is
		}
		_ = m.Answer(stored{}, err)
	case t.stores == nil:
		serve(m, nil, nil)
	case m.Kind == kindOrders && t.stores.Orders != nil:
		go answerOrders(m, t.stores.Orders)
	default:
		serve(m, t.stores.Tokens, t.stores.Counts)
	}
}

func answerOrders(m *frames.Message, orders *control.Orders) {
	var list []order
	err := m.Body(&list)
	if err == nil {
		err = obey(orders, list)
	}
	_ = m.Answer(nil, err)
}

// Gone is closed when the old process has ended, or has said all.
func (t *Taker) Gone() <-chan struct{} { return t.link.Gone() }

// Whole reports whether the old process has said all before it ended.
func (t *Taker) Whole() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// Close ends the work for the old process, at the end of this one.
func (t *Taker) Close() error {
	err := t.link.Close()
	t.after.Wait()
	return err
}
