package upstream

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/dial"
	"xoauth2-proxy/upstream/internal/login"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Relay sends transactions to the providers. Its methods are safe for
// concurrent use.
type Relay struct {
	cfg     Config
	log     *zap.Logger
	metrics *relayMetrics
	dialer  *dial.Dialer
	gate    *gate // nil without a global limit
	shards  []*shard
	seed    maphash.Seed

	loginTurn time.Duration           // the constant, but for tests
	dial      func(*dialing)          // (*dialing).run, but for tests
	give      func(*conn, *loop.Loop) // giveToLoop, but for tests
	logins    *login.Opener
	warmer    warmer
	saver     saver

	held    atomic.Int64 // accounts that wait for an operator
	waiting atomic.Int64 // transactions taken that have no connection yet
	closing atomic.Bool

	retained atomic.Pointer[account.Snapshot] // of the last Retain

	ctx    context.Context // ends when Close loses patience
	cancel context.CancelFunc
	dials  sync.WaitGroup
}

// New returns a relay that is ready for transactions. It takes access tokens
// from tokens and puts its metrics into set, which must not have them yet. It
// fails if cfg is not valid or its CAFile is not good.
//
// cfg.Quota, if any, is used until Close returns.
func New(cfg Config, tokens *oauth.Manager, log *zap.Logger, set *metrics.Set) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d, err := cfg.dialer(set)
	if err != nil {
		return nil, err
	}
	r := &Relay{cfg: cfg, log: log, dialer: d, seed: maphash.MakeSeed(), loginTurn: loginTurn,
		dial: (*dialing).run, give: giveToLoop}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if cfg.GlobalConcurrency > 0 {
		r.gate = &gate{free: cfg.GlobalConcurrency}
	}
	for range cmp.Or(cfg.Shards, runtime.GOMAXPROCS(0)) {
		r.shards = append(r.shards, newShard(r))
	}
	for i, s := range r.shards {
		s.part = cfg.Watch.Add(watchdog.Task{Kind: watchdog.Shard, Number: i, Func: "upstream.(*shard).handleFrom", On: s})
	}
	r.metrics = newRelayMetrics(r, set)
	r.logins = &login.Opener{Tokens: tokens, TokenTimeout: cfg.TokenTimeout, Dialer: d, Client: cfg.client(), Log: log,
		Breakers: throttle.NewBreakers(cfg.Breaker, cfg.Breakers, log, set), Metrics: login.NewMetrics(set, latencyBuckets)}
	r.saver.start(r)
	return r, nil
}

// TrySubmit hands tx to the shard of its account. It does not block. On nil
// the relay owns tx until it calls a method of tx.Done, which it may do before
// TrySubmit returns; on an error the caller still owns it.
//
// A transaction with Content is a whole message for exactly one recipient.
// Without Content the transaction is opened upstream, the recipients are
// answered, and it comes back by RecipientsReplied; the caller has told the
// client nothing yet of any recipient, or of any but the first one (see
// Transaction.FirstAnswered).
//
// Errors: ErrQueueFull, ErrClosed, ErrRecipients, ErrStuck.
func (r *Relay) TrySubmit(tx *Transaction) error {
	if n := len(tx.Rcpts); n == 0 || n > 1 && tx.Content != nil {
		return ErrRecipients
	}
	if r.closing.Load() {
		return ErrClosed
	}
	s := r.shardOf(tx.Account.ID)
	if s.part.Stuck() {
		return ErrStuck
	}
	if r.waiting.Add(1) > int64(r.cfg.MaxWaiting) {
		r.waiting.Add(-1)
		r.metrics.queueFull.Inc()
		return ErrQueueFull
	}
	now := time.Now()
	tx.submitted = now
	tx.deadline = now.Add(r.cfg.TransactionTimeout)
	tx.meter, tx.taken, tx.limited, tx.probe, tx.told, tx.held, tx.over = nil, 0, nil, false, false, nil, nil
	tx.shard = s
	tx.claim.Store(claimShard)
	s.postOn(event{kind: evSubmit, tx: tx, now: now}, tx.Loop)
	return nil
}

// SetIPv6 puts another value of Config.IPv6 in force, for new connections.
func (r *Relay) SetIPv6(on bool) { r.dialer.SetIPv6(on) }

// Close fails what waits for a connection, closes the parked connections with
// QUIT and waits for the running transactions. When ctx ends it breaks their
// connections, so that they fail, and returns the error of ctx. No goroutine
// of the relay is left when it returns, unless the error is ErrStuck: it does not wait
// for a shard that is stuck. The loops must still run.
func (r *Relay) Close(ctx context.Context) error {
	if r.closing.Swap(true) {
		return errors.New("upstream: relay closed twice")
	}
	r.warmer.stop()
	now := time.Now()
	for _, s := range r.shards {
		s.post(event{kind: evClose, now: now})
	}
	err := r.drain(ctx)
	r.cancel()
	if err != nil {
		for _, s := range r.shards {
			s.post(event{kind: evBreak, now: now})
		}
		for _, s := range r.shards {
			if !s.awaitDrained() {
				err = ErrStuck
			}
		}
	}
	if !errors.Is(err, ErrStuck) { // else dials may wait for their shard
		r.dials.Wait()
	}
	r.saver.stop()
	for _, s := range r.shards {
		s.part.Remove()
	}
	return err
}

// drain waits until no shard has a connection left.
func (r *Relay) drain(ctx context.Context) error {
	for _, s := range r.shards {
		select {
		case <-s.drained:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// stuckLook is how often Close looks whether a shard is stuck.
const stuckLook = 100 * time.Millisecond

// awaitDrained waits until nothing is left of the shard, whose connections are being
// broken; false if it is stuck.
func (s *shard) awaitDrained() bool {
	look := time.NewTicker(stuckLook)
	defer look.Stop()
	for {
		select {
		case <-s.drained:
			return true
		case <-look.C:
			if s.part.Stuck() {
				return false
			}
		}
	}
}

func (r *Relay) shardOf(id string) *shard {
	if len(r.shards) == 1 {
		return r.shards[0]
	}
	return r.shards[maphash.String(r.seed, id)%uint64(len(r.shards))]
}

// overError is ErrTransactionExpired with the reason.
type overError struct{ cause *Error }

func (e *overError) Error() string   { return ErrTransactionExpired.Error() + ": " + e.cause.Error() }
func (e *overError) Unwrap() []error { return []error{e.cause, ErrTransactionExpired} }
