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
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/smtpclient"
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
	t        *testing.T
	relay    *Relay
	accounts []*account.Account
	turns    []atomic.Int64 // of the timer, by shard
	trouble  atomic.Bool

	mu     sync.Mutex // guards random
	random *rand.Rand
}

func newResting(t *testing.T, seed uint64) *resting {
	r := &resting{t: t, random: rand.New(rand.NewPCG(seed, 0))}
	cfg := DefaultConfig()
	cfg.Shards, cfg.GlobalConcurrency, cfg.Quota = 2, 5, noQuota{}
	var err error
	if r.relay, err = New(cfg, nil, zap.NewNop(), metrics.NewSet()); err != nil {
		t.Fatal(err)
	}
	r.relay.dial, r.relay.give = r.dial, r.give
	r.turns = make([]atomic.Int64, cfg.Shards)
	for i, sh := range r.relay.shards {
		sh.timer = time.AfterFunc(time.Hour, func() {
			r.turns[i].Add(1)
			sh.post(event{kind: evTick, now: time.Now()})
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
			if reply := r.send(a); code(reply) != "451 4.7.0" {
				r.t.Errorf("%s is held and answers %v", a.ID, reply)
			}
			r.relay.ReleaseHold(a.ID)
		}
		if reply := r.send(a); reply.Code != 250 {
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
	if w, f := r.relay.waiting.Load(), r.relay.gate.free; w != 0 || f != r.relay.cfg.GlobalConcurrency {
		r.t.Errorf("%d transactions wait, %d of %d slots are free", w, f, r.relay.cfg.GlobalConcurrency)
	}
}

// checkEmpty fails the test if a shard that was at rest holds more than accounts
// that wait for an operator.
func (r *resting) checkEmpty(s *shard) {
	for _, st := range s.accounts {
		if !st.throttle.Held() || st.open()+st.waiting.n+st.fresh.n > 0 {
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
	for state := range s.counts {
		if n := s.counts[state].Load(); n != 0 {
			r.t.Errorf("%d connections in state %d", n, state)
		}
	}
}

// burst submits some messages at once and waits for their replies.
func (r *resting) burst(a *account.Account) {
	var all sync.WaitGroup
	for range 1 + r.number(4) {
		all.Go(func() { r.send(a) })
	}
	all.Wait()
}

// send relays one message and returns its reply, which must come.
func (r *resting) send(a *account.Account) codec.Reply {
	c := newClient()
	tx := GetTransaction()
	tx.Account, tx.Done, tx.Content = a, c, codec.NewContent(nil)
	tx.SetMail(codec.MailArgs{Path: []byte("from@x.test"), Size: -1})
	tx.AddRcpt(codec.RcptArgs{Path: []byte("to@x.test")})
	if err := r.relay.TrySubmit(tx); err != nil {
		tx.Release()
		return ClientReply(err)
	}
	select {
	case ans := <-c:
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

// give takes the place of giveToLoop.
func (r *resting) give(c *conn, _ *loop.Loop) {
	order, tx := c.order, c.tx
	go func() {
		if order == orderRelay {
			r.carry(c, tx)
			return
		}
		r.pass(2 * time.Second)
		c.shard.post(event{kind: evClosed, st: c.st, c: c, now: time.Now()})
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
	e := event{kind: evDialFailed, st: d.st, dial: d}
	defer func() { d.shard.post(e) }()
	leave, ok := r.relay.logins.Breakers.Of(d.account.SMTP).Enter()
	if !ok {
		e.err, e.now = &Error{Phase: throttle.PhaseConnect, Err: failure.ErrEndpointDown}, time.Now()
		return
	}
	r.pass(time.Second)
	if r.trouble.Load() {
		e.err = loginFailures[r.number(len(loginFailures))]
	}
	d.logins, e.now = 1, time.Now()
	if e.err == nil || !e.err.Reply.IsZero() {
		leave(throttle.Alive)
	} else {
		leave(throttle.Dead)
	}
	if e.err == nil {
		e.kind = evDialed
		e.c = &conn{account: d.account, print: d.account.ConnectionFingerprint(), peer: d.account.SMTP.String(), born: e.now, lastUsed: e.now,
			shard: d.shard, st: d.st}
	}
}

// Replies to messages, some of which speak of the account.
var messageReplies = []string{
	"250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok", "250 2.0.0 ok",
	"550 5.1.1 no such user", "452 4.2.2 later", "451 4.7.0 slower", "421 4.7.0 slower", "432 4.3.2 fewer connections",
	"550 5.4.5 daily limit", "554 5.2.0 SubmissionQuotaExceeded", "554 5.2.2 full", "550 5.1.8 bad sender", "421 4.4.2 going away",
}

// carry is conn.begin and conn.Ended for the model.
func (r *resting) carry(c *conn, tx *Transaction) {
	r.pass(3 * time.Second)
	now := time.Now()
	trouble := r.trouble.Load()
	done := event{st: c.st, c: c, now: now}
	if trouble && c.reused && r.number(8) == 0 { // it was lost while it was parked
		done.kind, done.tx = evRetry, tx
		c.shard.post(done)
		return
	}
	tx.claim.Store(claimCarrier)
	c.messages++
	a := r.relay.newAttempt(c, tx, now)
	c.reused, c.lastUsed = true, now
	reply := parseReply(messageReplies[0])
	if trouble {
		reply = parseReply(messageReplies[r.number(len(messageReplies))])
	}
	var x smtpclient.Exchange
	switch fate := r.number(10); {
	case trouble && fate == 0:
		x.Left = r.number(2) == 0
		x.Fail(throttle.PhaseMail, io.EOF)
	case reply.Positive():
		x.Phase, x.Reply = throttle.PhaseFinal, reply
	default:
		x.Phase, x.Reply, x.Lost = []Phase{throttle.PhaseMail, throttle.PhaseRcpt, throttle.PhaseFinal}[r.number(3)], reply, throttle.Closes(&reply)
	}
	if r.relay.retries(tx, &a, &x, now) {
		done.kind, done.fresh, done.tx = evRetry, true, tx
		c.shard.post(done)
		return
	}
	res := a.result(&x, c.peer)
	learned := event{kind: evLearned, st: c.st, meter: tx.meter, now: now}
	a.outcome(&learned, &x, tx, &res, false)
	c.shard.post(learned)
	r.relay.finish(tx, res, now, nil)
	if done.kind = evDone; x.Lost {
		done.kind = evGone
	}
	c.shard.post(done)
}

func refusedAt(p Phase, reply string) *Error {
	return &Error{Phase: p, Reply: parseReply(reply), Err: failure.ErrRefused}
}

// noQuota is a store that keeps nothing.
type noQuota struct{}

func (noQuota) Load(string, func(int64, uint32, uint32)) {}
func (noQuota) Save(string, int64, uint32, uint32)       {}
func (noQuota) Flush() error                             { return nil }

func parseReply(line string) codec.Reply {
	r, _, err := codec.ParseReply([]byte(line + "\r\n"))
	if err != nil {
		panic(err)
	}
	return r
}
