package oauth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/oauth/internal/flow"
)

// work is run under the watchdog.
func (s *Source) work(c *call, number int, closed bool) {
	part := s.m.cfg.Watch.Begin(watchdog.Task{
		Kind: watchdog.TokenWorker, Number: number, Beyond: s.m.cfg.longest(),
		Func: "oauth.(*Source).run", On: s, Stuck: func() { s.abandon(c) },
	})
	s.run(c, closed)
	part.Remove()
}

// run does the refresh of c and tells those who wait. It runs on a worker.
func (s *Source) run(c *call, closed bool) {
	if closed {
		s.finish(c, flow.Issued{}, errClosing, false)
		return
	}
	forced, late := s.begun(c)
	if late { // says nothing about the account: not remembered
		err := &Error{Class: ClassUnavailable, Err: errQueue}
		s.m.metrics.Outcome(s.account.Load().Provider, err)
		s.finish(c, flow.Issued{}, err, false)
		return
	}
	if !forced {
		if got, ok := s.stored(); ok {
			s.finish(c, got, nil, true)
			return
		}
	}
	claim, done := s.enter(c, forced)
	if done {
		return
	}
	start := time.Now()
	s.m.running.Add(1)
	got, rotated, err := s.refreshToken(forced, claim)
	s.m.running.Add(-1)
	s.endClaim(claim)
	if standing := suppressedBy(err); standing != nil { // no endpoint was asked
		s.m.metrics.Suppressed.Inc()
		s.finish(c, flow.Issued{}, standing, false)
		return
	}
	s.m.metrics.Refreshed(s.account.Load().Provider, start, err)
	s.logOutcome(got, rotated, time.Since(start), err)
	s.finish(c, got, err, true)
}

// enter gets the claim for a refresh. done: c has ended without a refresh of ours.
func (s *Source) enter(c *call, forced bool) (claim Claim, done bool) {
	if !s.m.shares(s.account.Load()) {
		return Claim{}, false
	}
	claim, got, err := s.claimChain(forced)
	switch {
	case err != nil && s.isQuiet(c) && s.end(c): // tellAgain comes again
	case err != nil:
		s.m.metrics.Suppressed.Inc()
		s.finish(c, flow.Issued{}, err, false)
	case claim.Fence == 0:
		s.finish(c, got, nil, true)
	case s.isQuiet(c):
		s.endClaim(claim)
		if !s.end(c) {
			s.run(c, false)
		}
	default:
		return claim, false
	}
	return Claim{}, true
}

// begun returns what c is when its worker starts. late means that callers have
// waited for it longer than QueueTimeout.
func (s *Source) begun(c *call) (forced, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.forced, !c.Early && time.Since(c.asked) > s.m.cfg.QueueTimeout
}

// refreshToken asks the endpoint, again after transient failures if the account's
// retry policy says so, and saves what came.
func (s *Source) refreshToken(forced bool, claim Claim) (got flow.Issued, rotated bool, err *Error) {
	ctx, cancel := context.WithDeadline(s.m.ctx, s.m.cfg.deadline(claim))
	defer cancel()
	g := flow.Grant{Account: s.account.Load()}
	if g.Refresh, err = s.newestRefresh(g.Account); err != nil {
		return flow.Issued{}, false, err
	}
	if ctx.Err() != nil { // the process was frozen, and its claim has ended
		return flow.Issued{}, false, flow.Local(ctx.Err())
	}
	first := g.Refresh
	for n, reread := 1, false; ; n++ {
		before := err
		if got, err = s.ask(ctx, g, forced); suppressedBy(err) != nil {
			if before != nil { // what the endpoint said goes first
				err = before
			}
			break
		}
		if err != nil && !g.Refresh.IsZero() && !got.Refresh.IsZero() && got.Refresh != g.Refresh {
			s.m.metrics.Rotations.Inc()
			s.keepRefresh(got.Refresh)
			g.Refresh = got.Refresh
		}
		if err != nil && err.Class == ClassInvalidGrant && !reread {
			reread = true
			if got, ok, err := s.overtaken(ctx, claim); ok {
				return got, false, err
			}
			if other := s.reread(); !other.IsZero() && other != g.Refresh {
				g.Refresh = other
				continue
			}
		}
		if err == nil || n >= g.Account.Retry.MaxAttempts || err.Class != ClassUnavailable {
			break
		}
		if !pause(ctx, s.m.cfg.backoff(g.Account.Retry, n, err)) {
			break
		}
	}
	if err != nil {
		return flow.Issued{}, false, err
	}
	if got.Refresh.IsZero() {
		got.Refresh = g.Refresh
	}
	if rotated = got.Refresh != first; rotated {
		s.m.metrics.Rotations.Inc()
	}
	s.keep(got, rotated)
	return got, rotated, nil
}

// ask calls the flow, if the circuit of the client is closed or the refresh is
// forced.
func (s *Source) ask(ctx context.Context, g flow.Grant, forced bool) (flow.Issued, *Error) {
	if !forced {
		if err := s.m.clients.Admit(s.client, time.Now()); err != nil {
			return flow.Issued{}, &Error{Class: err.Class, Err: &suppressed{err}, RetryAfter: err.RetryAfter}
		}
	}
	got, err := s.fetch(ctx, g)
	if s.m.clients.Report(s.client, g.Account.Retry, err, time.Now()) {
		s.m.log.Error(circuitAlerts[err.Class],
			append(err.Entry().Fields(), zap.String("client_id", g.Account.ClientID), zap.String("token_url", g.Account.TokenURL),
				zap.Error(err))...)
	}
	return got, err
}

// circuitAlerts are logged once, when the circuit of a client opens.
var circuitAlerts = map[Class]string{
	flow.ClassInvalidClient: "OAuth2 client refused: no account of it gets a new token",
	flow.ClassNoEndpoint:    "token URL is no token endpoint: no account of the client gets a new token",
}

// fetch calls the flow. A panic in the flow must not end the refreshes of other
// accounts, nor leave callers waiting.
func (s *Source) fetch(ctx context.Context, g flow.Grant) (got flow.Issued, err *Error) {
	defer func() {
		if p := recover(); p != nil { // its value might hold a secret
			s.m.log.Error("token refresh panicked", zap.String("account", s.id),
				zap.String("type", fmt.Sprintf("%T", p)), zap.Stack("stack"))
			got, err = flow.Issued{}, &Error{Class: ClassUnavailable, Err: flow.ErrPanic}
		}
	}()
	return s.m.flow.Fetch(ctx, g)
}

// pause waits for d, if that leaves time before the deadline of ctx.
func pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// newestRefresh returns the refresh token to use: the last one that the provider
// rotated to, else the configured one. Which one it is, is not known while the store
// cannot be read: to send an old one may end the whole chain (RFC 9700 section 4.14.2).
func (s *Source) newestRefresh(a *account.Account) (account.Secret, *Error) {
	if err := s.load(); err != nil && a.TokenFlow() == account.FlowRefreshToken {
		return account.Secret{}, &Error{Class: flow.ClassStore, Err: err, Hint: flow.ClassStore.Hint()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record.Refresh.IsZero() {
		return a.RefreshToken, nil
	}
	return s.record.Refresh, nil
}

// finish publishes the answer of c and tells those who wait. A failure that says
// nothing about the account is not remembered.
func (s *Source) finish(c *call, got flow.Issued, err *Error, remember bool) {
	s.mu.Lock()
	s.call = nil
	now := time.Now()
	switch {
	case s.retired:
		c.err = errRetired
	case err == nil:
		c.token = s.publish(got, now)
	default:
		c.err = err
		switch {
		case remember: // it was logged; later, as what is remembered, it is told to others
			s.fail(err, now)
			told := *err
			told.Logged, c.err = true, &told
		case err.RetryAfter > 0: // kicked stays until then
			s.schedule(err.RetryAfter)
		default:
			s.kicked.Store(false)
		}
	}
	waiters := c.waiters
	s.takeOffer()
	s.mu.Unlock()
	close(c.done)
	for _, done := range waiters {
		done(c.answer())
	}
}

// warnOdd names the fields of an answer that could not be read, once for each client.
func (s *Source) warnOdd(fields []string) {
	if len(fields) == 0 {
		return
	}
	if _, known := s.m.odd.LoadOrStore(oddAnswer{s.client, strings.Join(fields, " ")}, nil); known {
		return
	}
	a := s.account.Load()
	s.m.log.Warn("the token endpoint's answers have fields that cannot be read, and count as absent; a token without expires_in counts as good for oauth.default_lifetime",
		zap.String("account", s.id), zap.String("token_url", a.TokenURL), zap.Strings("answer_fields", fields))
}

// logOutcome writes the one log line of a refresh.
func (s *Source) logOutcome(got flow.Issued, rotated bool, took time.Duration, err *Error) {
	if err == nil {
		s.warnOdd(got.Odd)
		if e := s.m.log.Check(zap.DebugLevel, "token refreshed"); e != nil {
			e.Write(zap.String("account", s.id), zap.Time("expiry", got.Expiry),
				zap.Bool("rotated", rotated), zap.Duration("took", took))
		}
		return
	}
	level := zap.WarnLevel
	if err.Permanent() && err.Class != flow.ClassInvalidClient { // the circuit of the client logs it once
		level = zap.ErrorLevel // needs an operator
	}
	s.m.log.Log(level, "token refresh failed", append(err.Entry().Fields(), zap.String("account", s.id),
		zap.Stringer("class", err.Class), zap.Error(err), zap.Duration("took", took))...)
}
