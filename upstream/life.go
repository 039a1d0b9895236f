package upstream

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"runtime"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/counters"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/login"
	"xoauth2-proxy/upstream/internal/tenant"
	"xoauth2-proxy/upstream/internal/throttle"
)

// New returns a relay that is ready for transactions. It takes access tokens
// from tokens and puts its metrics into set, which must not have them yet. It
// fails if cfg is not valid or its CAFile is not good.
//
// cfg.Quota, if any, is used until Close returns.
func New(cfg Config, tokens *oauth.Manager, log *zap.Logger, set *metrics.Set) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d, err := cfg.Dialer(set)
	if err != nil {
		return nil, err
	}
	r := &Relay{cfg: cfg, log: log, dialer: d, seed: maphash.MakeSeed(), loginTurn: loginTurn,
		dial: (*dialing).run, give: (*carry.Conn).Give}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.desk = carry.NewRelay(r.ctx, cfg.Carry(), log, carry.NewMetrics(set, counters.Phases(set), counters.Buckets))
	if cfg.CountByAccount {
		r.desk.ByAccount = carry.NewByAccount()
	}
	if cfg.GlobalConcurrency > 0 {
		r.gate = limit.NewGate(cfg.GlobalConcurrency)
	}
	for range cmp.Or(cfg.Shards, runtime.GOMAXPROCS(0)) {
		s := newShard(r)
		r.shards, r.census = append(r.shards, s), append(r.census, s.census)
	}
	for i, s := range r.shards {
		s.part = cfg.Watch.Add(watchdog.Task{Kind: watchdog.Shard, Number: i, Func: "upstream.(*shard).handleFrom", On: s})
	}
	r.desk.Tenants = tenant.NewSet(cfg.Tenants, cfg.Quota, set)
	r.shareTenants()
	r.metrics = counters.New(set)
	r.gauges(set)
	r.logins = &login.Opener{Tokens: tokens, TokenTimeout: cfg.TokenTimeout, Dialer: d, Client: cfg.Client(), Log: log,
		Breakers: throttle.NewBreakers(cfg.Breaker, cfg.Breakers, log, set), Metrics: login.NewMetrics(set, counters.Phases(set), counters.Buckets)}
	r.saver.start(r)
	return r, nil
}

// gauges puts into set what is counted elsewhere.
func (r *Relay) gauges(set *metrics.Set) {
	r.census.Register(set)
	inFlight := func() int64 { return r.desk.Waiting.Load() + r.connections(connBusy) }
	counters.Gauges(set, r.held.Load, r.desk.Waiting.Load, inFlight)
}

// connections counts the connections of all accounts in a state.
func (r *Relay) connections(state connState) int64 { return r.census.In(state) }

// Close fails what waits for a connection, closes the parked connections with
// QUIT and waits for the running transactions. When ctx ends it breaks their
// connections, so that they fail, and returns the error of ctx. No goroutine
// of the relay is left when it returns, unless the error is ErrStuck: it does not wait
// for a shard that is stuck. The loops must still run.
func (r *Relay) Close(ctx context.Context) error {
	if r.desk.Closing.Swap(true) {
		return errors.New("upstream: relay closed twice")
	}
	r.warmer.Stop()
	for _, s := range r.shards {
		s.call(s.onClose, nil)
	}
	err := r.drain(ctx)
	r.cancel()
	if err != nil {
		for _, s := range r.shards {
			s.call(s.breakAll, nil)
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
	r.desk.Tenants.Leave()
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
