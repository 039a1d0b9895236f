package upstream

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/census"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

const (
	restLength   = 48 * time.Hour
	restAccounts = 6
	// restTurns is how often the timer of a shard may fire for an account in a rest,
	// beside the regular look at it: when its connections, pauses and limits end.
	restTurns = 50
)

// TestRestAfterFailures: failures of all kinds, then two days in which nothing
// happens. The timers have little to do meanwhile, nothing is left behind but what
// an operator must act on, and all accounts send again.
func TestRestAfterFailures(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newResting(t, seed).run() })
		})
	}
}

// resting is a relay in virtual time. Its connections are those to a provider that is a
// model: it answers by chance while there is trouble, else all is well.
type resting struct {
	fixture                // without sandbox, tokens and loop
	turns   []atomic.Int64 // of the timer, by shard
	trouble atomic.Bool
	retried sync.Map // transactions that were sent again

	mu     sync.Mutex // guards random
	random *rand.Rand
}

func newResting(t *testing.T, seed uint64) *resting {
	r := &resting{fixture: fixture{t: t, set: metrics.NewSet()}, random: rand.New(rand.NewPCG(seed, 0))}
	cfg := DefaultConfig()
	cfg.Shards, cfg.GlobalConcurrency, cfg.Quota = 2, 5, noQuota{}
	var err error
	if r.relay, err = New(cfg, nil, zap.NewNop(), r.set); err != nil {
		t.Fatal(err)
	}
	r.relay.dial, r.relay.give = r.dial, r.give
	r.turns = make([]atomic.Int64, cfg.Shards)
	for i, sh := range r.relay.shards {
		sh.timer = time.AfterFunc(time.Hour, func() {
			r.turns[i].Add(1)
			sh.call(sh.onTick, nil)
		})
		sh.timer.Stop()
	}
	for i := range restAccounts {
		a := &account.Account{ID: fmt.Sprint("account-", i), Email: fmt.Sprintf("u%d@x.test", i),
			SMTP:   account.Endpoint{Host: fmt.Sprintf("mx%d.x.test", i%2), Port: 587, TLS: account.TLSStartTLS},
			Limits: account.Limits{MaxConnections: 1 + i%3, IdleTimeout: time.Minute, AcquireTimeout: 5 * time.Second}}
		if i%2 == 0 { // the others are limited in nothing
			a.Limits.MessagesPerMinute, a.Limits.MessagesPerDay, a.Limits.LoginsPerMinute = 10, 500, 5
		}
		r.accounts = append(r.accounts, a)
	}
	return r
}

func (r *resting) run() {
	r.trouble.Store(true)
	var clients sync.WaitGroup
	for _, a := range r.accounts {
		clients.Go(func() {
			for range 40 {
				r.pass(20 * time.Second)
				r.burst(a)
			}
		})
	}
	clients.Wait()
	r.trouble.Store(false)
	r.rest()
	for _, a := range r.accounts {
		if st, _ := r.relay.Standing(a.ID); st != nil && st.Stopped == "held" {
			if reply := r.relayed(a); code(reply) != "451 4.7.0" {
				r.t.Errorf("%s is held and answers %v", a.ID, reply)
			}
			r.relay.ReleaseHold(a.ID)
		}
		if reply := r.relayed(a); reply.Code != 250 {
			r.t.Errorf("%s answers %v after the rest", a.ID, reply)
		}
	}
	if n := r.relay.held.Load(); n != 0 {
		r.t.Errorf("%d accounts count as held after their release", n)
	}
	r.rest()
	if err := r.relay.Close(context.Background()); err != nil {
		r.t.Error(err)
	}
}

// rest lets time pass, and looks at what the timers did and what is left.
func (r *resting) rest() {
	r.t.Helper()
	for i := range r.turns {
		r.turns[i].Store(0)
	}
	<-time.After(restLength)
	for i, sh := range r.relay.shards {
		if n, most := r.turns[i].Load(), int64(restAccounts*(restLength/recheck+restTurns)); n > most {
			r.t.Errorf("the timer of shard %d fired %d times in %v, want at most %d", i, n, restLength, most)
		}
		done := make(chan struct{})
		sh.do(func(time.Time) {
			defer close(done)
			r.checkEmpty(sh)
		})
		<-done
	}
	if w, f := r.relay.desk.Waiting.Load(), r.relay.gate.Free(); w != 0 || f != r.relay.cfg.GlobalConcurrency {
		r.t.Errorf("%d transactions wait, %d of %d slots are free", w, f, r.relay.cfg.GlobalConcurrency)
	}
}

// checkEmpty fails the test if a shard that was at rest holds more than accounts
// that wait for an operator.
func (r *resting) checkEmpty(s *shard) {
	for _, st := range s.accounts {
		if !st.throttle.Held() || st.open()+st.waiting.Len()+st.fresh.Len() > 0 {
			r.t.Errorf("%s is still known: %+v", st.id, st)
		}
	}
	if len(s.due) != len(s.accounts) {
		r.t.Errorf("%d due times for %d accounts", len(s.due), len(s.accounts))
	}
	if n := len(s.lines) + len(s.blocked) + s.slots + len(s.unsaved); n > 0 {
		r.t.Errorf("the shard holds something: %d lines, %d blocked, %d slots, %d unsaved",
			len(s.lines), len(s.blocked), s.slots, len(s.unsaved))
	}
	for state := range numConnStates {
		if n := (census.Shards{s.census}).In(state); n != 0 {
			r.t.Errorf("%d connections in state %d", n, state)
		}
	}
}

// burst submits some messages at once and waits for their replies.
func (r *resting) burst(a *account.Account) {
	var all sync.WaitGroup
	for range 1 + r.number(4) {
		all.Go(func() { r.relayed(a) })
	}
	all.Wait()
}

// relayed relays one message and returns its reply, which must come.
func (r *resting) relayed(a *account.Account) codec.Reply {
	tx, c := r.message(a, "to@x.test", "")
	if err := r.relay.TrySubmit(tx); err != nil {
		tx.Release()
		return ClientReply(err)
	}
	select {
	case ans := <-c:
		r.retried.Delete(ans.tx)
		ans.tx.Release()
		return ans.res.Reply
	case <-time.After(time.Hour):
		r.t.Errorf("%s: no reply", a.ID)
		return codec.Reply{}
	}
}

// pass lets up to d pass.
func (r *resting) pass(d time.Duration) { <-time.After(time.Duration(1 + r.number(int(d)))) }

func (r *resting) number(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.random.IntN(n)
}

// give takes the place of carry.Conn.Give.
func (r *resting) give(c *carry.Conn, tx *Transaction, _ *loop.Loop) {
	go func() {
		if tx != nil {
			r.carry(c, tx)
			return
		}
		r.pass(2 * time.Second)
		c.Tell(carry.Event{Kind: carry.Closed, Conn: c, Now: time.Now()})
	}()
}

// loginFailures are how attempts to connect end, nil for well.
var loginFailures = []*Error{
	nil, nil, nil, nil, nil, nil,
	{Phase: throttle.PhaseConnect, Err: io.EOF},
	{Phase: throttle.PhaseConnect, Err: io.ErrUnexpectedEOF},
	{Phase: throttle.PhaseToken, Err: oauth.ErrTokenRefused},
	refusedAt(throttle.PhaseAuth, "535 5.7.8 bad credentials"),
	refusedAt(throttle.PhaseAuth, "535 5.7.139 the account may not submit"),
	refusedAt(throttle.PhaseAuth, "454 4.7.0 too many logins"),
	refusedAt(throttle.PhaseAuth, "421 4.3.2 busy"),
	refusedAt(throttle.PhaseGreeting, "554 5.3.2 not now"),
}

// dial is dialing.run for the model.
func (r *resting) dial(d *dialing) {
	failed := func(err *Error) {
		d.shard.call(func(now time.Time) { d.shard.onDialFailed(d, err, now) }, nil)
	}
	leave, ok := r.relay.logins.Breakers.Of(d.account.SMTP).Enter()
	if !ok {
		failed(&Error{Phase: throttle.PhaseConnect, Err: failure.ErrEndpointDown})
		return
	}
	r.pass(time.Second)
	var err *Error
	if r.trouble.Load() {
		err = loginFailures[r.number(len(loginFailures))]
	}
	d.logins = 1
	if err == nil || !err.Reply.IsZero() {
		leave(throttle.Alive)
	} else {
		leave(throttle.Dead)
	}
	if err != nil {
		failed(err)
		return
	}
	c := r.relay.desk.NewConn(d.shard, d.st, d.account, nil, d)
	c.Tell(carry.Event{Kind: carry.Dialed, Conn: c, Now: time.Now()})
}

// Replies to messages, some of which speak of the account.
var messageReplies = []string{
	"250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok",
	"550 5.1.1 no such user", "452 4.2.2 later", "451 4.7.0 slower", "421 4.7.0 slower", "432 4.3.2 fewer connections",
	"550 5.4.5 daily limit", "554 5.2.0 SubmissionQuotaExceeded", "554 5.2.2 full", "550 5.1.8 bad sender", "421 4.4.2 going away",
}

// carry is a connection that relays, for the model.
func (r *resting) carry(c *carry.Conn, tx *Transaction) {
	r.pass(3 * time.Second)
	now := time.Now()
	trouble := r.trouble.Load()
	done := carry.Event{Kind: carry.Done, Conn: c, Now: now}
	if trouble && c.Reused && r.number(8) == 0 { // it was lost while it was parked
		done.Kind, done.Tx = carry.Retry, tx
		c.Tell(done)
		return
	}
	c.Messages++
	carried := c.Reused
	c.Reused, c.LastUsed = true, now
	reply := parseReply(messageReplies[0])
	if trouble {
		reply = parseReply(messageReplies[r.number(len(messageReplies))])
	}
	var err *Error
	switch fate := r.number(10); {
	case trouble && fate == 0 && r.number(2) == 0 && r.again(tx):
		done.Kind, done.Fresh, done.Tx = carry.Retry, true, tx
		c.Tell(done)
		return
	case trouble && fate == 0: // the provider may have taken it
		done.Kind, err = carry.Gone, &Error{Phase: throttle.PhaseFinal, Err: io.EOF}
	case !reply.Positive():
		err = &Error{Phase: []Phase{throttle.PhaseMail, throttle.PhaseRcpt, throttle.PhaseFinal}[r.number(3)], Reply: reply,
			Err: failure.ErrRefused, Provider: throttle.ProviderOf(tx.Account), Carried: carried}
		if throttle.Closes(&reply) {
			done.Kind = carry.Gone
		}
	}
	learned := carry.Event{Kind: carry.Learned, Conn: c, Meter: tx.Place.Meter, Taken: tx.Place.Taken, Probe: tx.Place.Probe, Err: err, Now: now}
	if err == nil || err.MaybeAccepted() {
		learned.Accepted = 1
	}
	c.Tell(learned)
	res := Result{Reply: reply, Phase: throttle.PhaseFinal}
	if err != nil {
		res = carry.Failed(err, "")
	}
	r.relay.desk.Finish(tx, res, now, nil)
	c.Tell(done)
}

// again reports whether tx has not been sent again yet, which it is then.
func (r *resting) again(tx *Transaction) bool {
	_, was := r.retried.LoadOrStore(tx, true)
	return !was
}

func refusedAt(p Phase, reply string) *Error {
	return &Error{Phase: p, Reply: parseReply(reply), Err: failure.ErrRefused}
}

// noQuota is a store that keeps nothing.
type noQuota struct{}

func (noQuota) Load(string, func(int64, uint32, uint32)) {}
func (noQuota) Save(string, int64, uint32, uint32)       {}
func (noQuota) Flush() error                             { return nil }
