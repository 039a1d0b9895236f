package carry

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/tenant"
)

// Config says how transactions are relayed. The fields are those of upstream.Config.
type Config struct {
	DryRun, QuotaAsTemporary         bool
	TransactionTimeout, FinalTimeout time.Duration
	MaxWaiting                       int
}

// Relay is what all transactions and connections of one relay share.
type Relay struct {
	Metrics *Metrics
	Tenants *tenant.Set // nil: none has a limit
	Waiting Waiting     // transactions taken that have no connection yet
	Closing atomic.Bool // nothing more is taken
	// ByAccount counts by account; nil: nothing does.
	ByAccount *ByAccount

	wires atomic.Uint64 // connections so far

	endpoints    sync.Map // "host:port": *endpoint
	undeclaredAt sync.Map // endpoints that undeclared has warned of

	cfg Config
	log *zap.Logger
	ctx context.Context // when it is over, nothing more is begun
}

// NewRelay returns a relay that takes transactions until ctx is over.
func NewRelay(ctx context.Context, cfg Config, log *zap.Logger, m *Metrics) *Relay {
	return &Relay{cfg: cfg, log: log, ctx: ctx, Metrics: m, Waiting: Waiting{by: m.provider}}
}

// Pool is where transactions wait for a connection and connections for a transaction.
// It decides, and hears by events what has happened.
type Pool interface {
	// Enqueue adds an event. If it returns true, the caller has to call Drive, soon.
	Enqueue(e Event) (idle bool)
	// Drive handles events. on is the loop that it is called on, nil: none.
	Drive(on *loop.Loop)
	// Stuck reports whether the pool does not come back from what it is at.
	Stuck() bool
}

// Kind says what happened.
type Kind uint8

// The kinds of events.
const (
	Submit  Kind = iota // Tx wants a connection
	Dialed              // Conn was opened
	Done                // Conn has ended a transaction, and can take another one
	Learned             // what is known of a transaction, before Done or Gone
	Gone                // Conn, which was busy, is closed
	Retry               // like Gone, and Tx wants another connection
	Closed              // Conn, which was to quit, is closed
	Broken              // Conn, which was parked, is of no use any more
)

// Event is what a Pool is told.
type Event struct {
	Kind  Kind
	Fresh bool // Retry: only a new connection will do
	Open  bool // Retry: Conn is not closed yet, but has done its share
	Tx    *Transaction
	Conn  *Conn
	Err   *failure.Error
	Now   time.Time
	// Done or Learned: the meter that the message has its place in, for how many
	// recipients, how many of them the provider accepted, and how many it counts; with
	// Err, what it refused. Probe: the transaction was one.
	Meter                    *limit.Meter
	Taken, Accepted, Counted int
	Probe                    bool
}

// Submit hands tx to p. It does not block. On nil the relay owns tx until it calls a
// method of tx.Done, which it may do before Submit returns; on an error the caller still
// owns it: ErrRecipients, ErrClosed, ErrStuck, ErrQueueFull or a *LimitError of package
// failure.
func (r *Relay) Submit(tx *Transaction, p Pool) error {
	if n := len(tx.Rcpts); n == 0 || n > 1 && tx.Content != nil {
		return failure.ErrRecipients
	}
	if r.Closing.Load() {
		return failure.ErrClosed
	}
	if p.Stuck() {
		return failure.ErrStuck
	}
	if err := r.enter(tx); err != nil {
		return err
	}
	if !r.room(tx.Account.Provider) {
		return failure.ErrQueueFull
	}
	now := time.Now()
	tx.relay, tx.as, tx.Place, tx.deadline = r, tx.Account, Place{Submitted: now}, now.Add(r.cfg.TransactionTimeout)
	tx.pool.Store(p)
	tx.Passage = Passage{}
	tx.limited, tx.told, tx.held, tx.over, tx.retried, tx.wornAt = nil, false, nil, nil, false, 0
	tx.claim.Store(claimShard)
	tx.wait(now, tx.Loop)
	return nil
}

// room takes a place among the transactions that wait; false if there is none.
func (r *Relay) room(provider string) bool {
	if r.Waiting.Add(provider, 1) > int64(r.cfg.MaxWaiting) {
		r.Waiting.Add(provider, -1)
		r.Metrics.QueueFull(provider)
		return false
	}
	return true
}

// wait has tx wait in its pool for a connection.
func (tx *Transaction) wait(now time.Time, on *loop.Loop) {
	if p := tx.home(); p.Enqueue(Event{Kind: Submit, Tx: tx, Now: now}) {
		p.Drive(on)
	}
}

func (tx *Transaction) home() Pool { return tx.pool.Load().(Pool) }

// MoveTo has tx, which waits, wait in p for what a reload has made of its account. Its place
// within the limits is free again, its deadline stays. The caller sends p the event.
func (tx *Transaction) MoveTo(p Pool, a *account.Account, now time.Time) {
	if m := tx.Place.Meter; m != nil {
		m.Settle(now, tx.Place.Taken, 0)
	}
	tx.relay.Waiting.Add(tx.Account.Provider, -1)
	tx.relay.Waiting.Add(a.Provider, 1)
	tx.external.Leave(0)
	if tx.Account, tx.tenant = a, nil; tx.relay.Tenants != nil {
		tx.tenant = tx.relay.Tenants.Of(a)
	}
	tx.Place, tx.wornAt = Place{Submitted: tx.Place.Submitted}, 0
	tx.pool.Store(p)
}

// Panicked counts and logs a panic and makes an error of it.
func (r *Relay) Panicked(p any) error {
	r.log.Error("panic while relaying", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
	r.Metrics.Panics.Inc()
	return fmt.Errorf("internal error: %v", p)
}
