package oauth

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
)

// run does the refresh of c and tells everybody. It runs on a worker.
func (s *Source) run(c *call, closed bool) {
	if closed {
		s.finish(c, issued{}, errClosing, false)
		return
	}
	forced, late := s.begun(c)
	if late { // says nothing about the account: not remembered
		s.m.metrics.failure[ClassUnavailable].Inc()
		s.finish(c, issued{}, &Error{Class: ClassUnavailable, Err: errQueue}, false)
		return
	}
	if !forced {
		if got, ok := s.stored(); ok {
			s.finish(c, got, nil, true)
			return
		}
	}
	start := time.Now()
	s.m.running.Add(1)
	got, rotated, err := s.refreshToken(forced)
	s.m.running.Add(-1)
	if standing := suppressedBy(err); standing != nil { // nobody was asked
		s.m.metrics.suppressed.Inc()
		s.finish(c, issued{}, standing, false)
		return
	}
	s.m.metrics.refreshed(start, err)
	s.logOutcome(got, rotated, time.Since(start), err)
	s.finish(c, got, err, true)
}

// begun returns what c is when a worker takes it. late says that those who wait
// for it have been waiting for longer than they should.
func (s *Source) begun(c *call) (forced, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.forced, !c.early && time.Since(c.asked) > s.m.cfg.QueueTimeout
}

// refreshToken asks the endpoint, again after transient failures if the
// account's retry policy says so, and keeps what came safe.
func (s *Source) refreshToken(forced bool) (got issued, rotated bool, err *Error) {
	ctx, cancel := context.WithTimeout(s.m.ctx, s.m.cfg.Timeout)
	defer cancel()
	g := grant{account: s.account.Load()}
	g.refresh = s.newestRefresh(g.account)
	reread := false
	for n := 1; ; n++ {
		before := err
		if got, err = s.ask(ctx, g, forced); suppressedBy(err) != nil {
			if before != nil { // what the endpoint said goes first
				err = before
			}
			break
		}
		if err != nil && !g.refresh.IsZero() && !got.refresh.IsZero() && got.refresh != g.refresh {
			s.m.metrics.rotations.Inc()
			s.keepRefresh(got.refresh)
			g.refresh = got.refresh
		}
		if err != nil && err.Class == ClassInvalidGrant && !reread {
			// Perhaps another process that shares the store has rotated it.
			reread = true
			if newer := s.reread(); !newer.IsZero() && newer != g.refresh {
				g.refresh = newer
				continue
			}
		}
		if err == nil || n >= g.account.Retry.MaxAttempts || err.Class != ClassUnavailable {
			break
		}
		if !pause(ctx, s.m.cfg.backoff(g.account.Retry, n, err)) {
			break
		}
	}
	if err != nil {
		return issued{}, false, err
	}
	if got.refresh.IsZero() {
		got.refresh = g.refresh
	}
	if rotated = got.refresh != g.refresh; rotated {
		s.m.metrics.rotations.Inc()
	}
	s.keep(got, rotated)
	return got, rotated, nil
}

// ask calls the flow, if the circuit of the client lets it.
func (s *Source) ask(ctx context.Context, g grant, forced bool) (issued, *Error) {
	if !forced {
		if err := s.m.clients.admit(s.client, time.Now()); err != nil {
			return issued{}, &Error{Class: err.Class, Err: &suppressed{err}, RetryAfter: err.RetryAfter}
		}
	}
	got, err := s.fetch(ctx, g)
	if s.m.clients.report(s.client, g.account.Retry, err, time.Now()) {
		s.m.log.Error(circuitAlerts[err.Class],
			zap.String("client_id", g.account.ClientID), zap.String("token_url", g.account.TokenURL),
			zap.Error(err), zap.String("hint", err.Hint))
	}
	return got, err
}

// circuitAlerts are told once, when the circuit of a client opens.
var circuitAlerts = map[Class]string{
	ClassInvalidClient: "OAuth2 client refused: no account of it gets a new token",
	ClassNoEndpoint:    "token URL is no token endpoint: no account of the client gets a new token",
}

// fetch calls the flow. A fault in it must not take the accounts of others
// along, nor leave callers waiting.
func (s *Source) fetch(ctx context.Context, g grant) (got issued, err *Error) {
	defer func() {
		if p := recover(); p != nil { // its value might hold a secret
			s.m.log.Error("token refresh panicked", zap.String("account", s.id),
				zap.String("type", fmt.Sprintf("%T", p)), zap.Stack("stack"))
			got, err = issued{}, &Error{Class: ClassUnavailable, Err: errPanic}
		}
	}()
	return s.m.flow.fetch(ctx, g)
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

// newestRefresh returns the refresh token to use: the last that the provider
// rotated to, else the configured one.
func (s *Source) newestRefresh(a *account.Account) account.Secret {
	s.load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record.Refresh.IsZero() {
		return a.RefreshToken
	}
	return s.record.Refresh
}

// finish publishes the answer of c and tells everybody who waits. A failure
// that says nothing about the account is not remembered.
func (s *Source) finish(c *call, got issued, err *Error, remember bool) {
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
		case remember:
			s.fail(err, now)
		case err.RetryAfter > 0: // kicked stays until then
			s.schedule(err.RetryAfter)
		default:
			s.kicked.Store(false)
		}
	}
	waiters := c.waiters
	s.mu.Unlock()
	close(c.done)
	for _, done := range waiters {
		done(c.answer())
	}
}

// logOutcome writes the one line that a refresh is worth.
func (s *Source) logOutcome(got issued, rotated bool, took time.Duration, err *Error) {
	if err == nil {
		if e := s.m.log.Check(zap.DebugLevel, "token refreshed"); e != nil {
			e.Write(zap.String("account", s.id), zap.Time("expiry", got.expiry),
				zap.Bool("rotated", rotated), zap.Duration("took", took))
		}
		return
	}
	level := zap.WarnLevel
	if err.Permanent() && err.Class != ClassInvalidClient { // that one is told once for the client
		level = zap.ErrorLevel // needs an operator
	}
	s.m.log.Log(level, "token refresh failed", zap.String("account", s.id),
		zap.Stringer("class", err.Class), zap.Error(err), zap.String("hint", err.Hint),
		zap.Duration("took", took))
}
