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
	switch {
	case closed:
		s.finish(c, issued{}, errClosing, false)
		return
	case s.waitedTooLong(c): // says nothing about the account: not remembered
		s.m.metrics.failure[ClassUnavailable].Inc()
		s.finish(c, issued{}, &Error{Class: ClassUnavailable, Err: errQueue}, false)
		return
	}
	start := time.Now()
	s.m.running.Add(1)
	got, rotated, err := s.refreshToken()
	s.m.running.Add(-1)
	s.m.metrics.refreshed(start, err)
	s.logOutcome(got, rotated, time.Since(start), err)
	s.finish(c, got, err, true)
}

// waitedTooLong reports whether those who wait for c have been waiting for
// longer than they should.
func (s *Source) waitedTooLong(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !c.early && time.Since(c.asked) > s.m.cfg.QueueTimeout
}

// refreshToken asks the endpoint, again after transient failures if the
// account's retry policy says so, and keeps a rotated refresh token safe.
func (s *Source) refreshToken() (got issued, rotated bool, err *Error) {
	ctx, cancel := context.WithTimeout(s.m.ctx, s.m.cfg.Timeout)
	defer cancel()
	g := grant{account: s.account.Load()}
	g.refresh = s.newestRefresh(g.account)
	for n := 1; ; n++ {
		got, err = s.fetch(ctx, g)
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
		s.save(got.refresh)
	}
	return got, rotated, nil
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
	s.mu.Lock()
	newest, loaded := s.refresh, s.loaded
	s.mu.Unlock()
	if newest.IsZero() && !loaded && s.m.cfg.Store != nil {
		stored, err := s.m.cfg.Store.Load(s.chain())
		if err != nil {
			s.m.metrics.storeErrors.Inc()
			s.m.log.Error("stored refresh token cannot be read; the configured one is used",
				zap.String("account", s.id), zap.Error(err))
		}
		newest, loaded = stored, err == nil
		s.mu.Lock()
		s.loaded = loaded
		s.refresh = newest
		s.mu.Unlock()
	}
	if newest.IsZero() {
		return a.RefreshToken
	}
	return newest
}

// save makes a rotated refresh token durable. When that fails it lives on in
// memory, and the failure is for the operator to see.
func (s *Source) save(token account.Secret) {
	if s.m.cfg.Store == nil {
		return
	}
	if err := s.m.cfg.Store.Save(s.chain(), token); err != nil {
		s.m.metrics.storeErrors.Inc()
		s.m.log.Error("rotated refresh token cannot be saved; it will be lost on exit",
			zap.String("account", s.id), zap.Error(err))
	}
}

func (s *Source) chain() Chain { return Chain{AccountID: s.id, Fingerprint: s.fingerprint} }

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
		if remember {
			s.fail(err, now)
		} else {
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
	if err.Permanent() {
		level = zap.ErrorLevel // needs an operator
	}
	s.m.log.Log(level, "token refresh failed", zap.String("account", s.id),
		zap.Stringer("class", err.Class), zap.Error(err), zap.String("hint", err.Hint),
		zap.Duration("took", took))
}
