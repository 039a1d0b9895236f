package password

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// Result is the outcome of a check.
type Result uint8

const (
	// Pending means that the answer comes later, through the callback.
	Pending Result = iota
	// Allowed means that the password is right.
	Allowed
	// Refused means that it is wrong, or that there is no such account.
	Refused
	// Busy means that nothing was checked: too many logins wait, the check
	// panicked, or the checker was closed. It is for 454 4.7.0 (RFC 4954
	// section 6).
	Busy
	// Limited means that nothing was checked: there were too many failures of the
	// source or the account. It is for 454 4.7.0 too.
	Limited
)

// String implements [fmt.Stringer].
func (r Result) String() string {
	switch r {
	case Pending:
		return "pending"
	case Allowed:
		return "allowed"
	case Refused:
		return "refused"
	case Busy:
		return "busy"
	case Limited:
		return "limited"
	}
	return fmt.Sprintf("Result(%d)", uint8(r))
}

// Checker checks passwords against secrets. All methods but Close may be
// called by any number of goroutines, event loops among them: they do not
// block.
type Checker struct {
	digesters *sync.Pool
	cache     *cache
	decoy     atomic.Pointer[Secret]
	panicked  func(p any, stack []byte)

	limit  int // of waiting
	memory *semaphore.Weighted
	ctx    context.Context // ends at Close
	stop   context.CancelFunc
	done   sync.WaitGroup // the workers

	mu       sync.Mutex // guards what follows
	work     sync.Cond  // there is something in queue, or closed is set
	queue    turns
	underway map[digest]*computation
	waiting  int // callbacks not called yet
	closed   bool

	hashes, responses atomic.Uint64 // see Work
}

// computation is one slow hash, with the callbacks that wait for it.
type computation struct {
	key      digest
	secret   *stored
	password []byte // ours; cleared when done
	waiting  []func(Result)
}

// New makes a Checker and starts its workers. The configuration must be valid.
// panicked is told of each check that panics, by a worker; it must not block.
func New(cfg Config, panicked func(p any, stack []byte)) *Checker {
	c := &Checker{
		panicked:  panicked,
		digesters: digesterPool(),
		cache:     newCache(cfg.CacheSize),
		limit:     cfg.MaxWaiting,
		memory:    semaphore.NewWeighted(cfg.MaxMemory),
		underway:  make(map[digest]*computation),
	}
	c.work.L = &c.mu
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.Imitate(func(func(Secret) bool) {})
	for range cfg.Workers {
		c.done.Go(c.compute)
	}
	return c
}

// Imitate makes a login without an account cost as much as a wrong password for most of the
// given secrets, which are those of the accounts. It is to be called after each load of the
// accounts. Without any secret, new hashes are imitated.
func (c *Checker) Imitate(secrets iter.Seq[Secret]) {
	count := make(map[string]int)
	model := newSecret("", newArgon2id())
	for s := range secrets {
		if s.IsZero() {
			continue
		}
		cost := s.v.cost()
		count[cost]++
		if count[cost] > count[model.v.cost()] {
			model = s
		}
	}
	if old := c.decoy.Load(); old == nil || old.v.cost() != model.v.cost() {
		decoy := model.v.decoy()
		c.decoy.Store(&decoy)
	}
}

// Check checks a password for an account. It answers Allowed, Refused or Busy
// if that can be said at once; done is not called then. Else it answers
// Pending, and done is called once with one of the three, by another goroutine
// and possibly before Check returns: it must only post. The password is
// borrowed for the call. Sources take turns: the slow hashes of one wait behind one of
// each other.
//
// With no secret (the zero value) the login names no account: Check does the same as for a
// wrong password, in the same time and with the same answer.
func (c *Checker) Check(source key, id string, secret Secret, password []byte, done func(Result)) Result {
	if secret.IsZero() {
		secret = *c.decoy.Load()
	}
	s := secret.v
	if p, ok := s.scheme.(plain); ok {
		if p.verify(password) {
			return Allowed
		}
		return Refused
	}
	d := c.digesters.Get().(*digester)
	sum := d.sum(id, s.text, password)
	c.digesters.Put(d)
	if c.cache.has(&sum) {
		return Allowed
	}
	return c.enqueue(source, sum, s, password, done)
}

// enqueue joins the computation for that login, or queues a new one.
func (c *Checker) enqueue(source key, d digest, s *stored, password []byte, done func(Result)) Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.waiting >= c.limit {
		return Busy
	}
	c.waiting++
	if running := c.underway[d]; running != nil {
		running.waiting = append(running.waiting, done)
		return Pending
	}
	started := &computation{key: d, secret: s, password: bytes.Clone(password), waiting: []func(Result){done}}
	c.underway[d] = started
	c.queue.add(source, started)
	c.work.Signal()
	return Pending
}

// Work counts the slow hashes and the CRAM-MD5 responses that were computed: the cost of
// logins, which must not tell whether an account exists.
func (c *Checker) Work() (hashes, responses uint64) { return c.hashes.Load(), c.responses.Load() }

// Close answers Busy to the logins that are queued, lets the computations
// under way finish and waits for the workers. Later checks are Busy unless
// they can be decided at once. It must not be called by a callback.
func (c *Checker) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.stop()
		c.work.Broadcast()
	}
	c.mu.Unlock()
	c.done.Wait()
}
