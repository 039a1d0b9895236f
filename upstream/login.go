package upstream

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// dialing is the opening of a connection, up to its adoption by a loop.
type dialing struct {
	relay   *Relay
	shard   *shard
	st      *accountState // to be named in events; not to be touched
	account *account.Account
	loop    *loop.Loop // is to serve the connection
	logins  int        // that were tried

	// What follows belongs to the shard.

	turnIn *loginLine // where the login has a turn, nil: nowhere
	began  time.Time  // its turn
}

// run opens the connection, on a goroutine of its own. A panic is contained: it costs
// the attempt.
func (d *dialing) run() {
	var err *Error
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = &Error{Phase: PhaseConnect, Err: d.relay.panicked(p)}
			}
		}()
		err = d.open()
	}()
	if err != nil {
		d.failed(err, nil)
	}
}

// open logs in and has the loop take the connection, which tells the shard.
func (d *dialing) open() *Error {
	login, err := d.relay.connect(d.relay.ctx, d.account, &d.logins)
	if err != nil {
		return err
	}
	now := time.Now()
	c := &conn{shard: d.shard, st: d.st, loop: d.loop, account: d.account, print: d.account.ConnectionFingerprint(),
		peer: d.account.SMTP.String(), born: now, lastUsed: now, work: workDial, dial: d}
	if aerr := login.Adopt(d.loop, c, &c.client); aerr != nil {
		return &Error{Phase: PhaseConnect, Err: aerr}
	}
	return nil
}

// failed tells the shard that there is no connection.
func (d *dialing) failed(err *Error, on *loop.Loop) {
	fields := []zap.Field{zap.String("account", d.account.ID), zap.String("upstream", d.account.SMTP.String()),
		zap.Stringer("phase", err.Phase), zap.Int("code", err.Reply.Code), zap.String("error", smtpclient.Cut(err.Error()))}
	if class, hint, ok := err.Explain(); ok {
		fields = append(fields, zap.Stringer("class", class), zap.String("hint", hint))
	}
	d.relay.log.Warn("upstream login failed", fields...)
	d.shard.postOn(event{kind: evDialFailed, st: d.st, dial: d, err: err, now: time.Now()}, on)
}

// connect opens a connection of a up to the provider's 235. A token that
// was there before and that the provider refuses is replaced once, on another
// connection. It counts the logins that it tries.
func (r *Relay) connect(ctx context.Context, a *account.Account, logins *int) (*smtpclient.Login, *Error) {
	src := r.tokens.Source(a)
	began := time.Now()
	tok := src.Cached()
	if tok == nil {
		var err *Error
		if tok, err = r.token(ctx, src); err != nil {
			return nil, err
		}
	}
	l, err := r.login(ctx, a, tok, logins)
	if err == nil || !tokenRefused(err) {
		return l, err
	}
	src.Invalidate(tok)
	if !tok.Issued().Before(began) { // another one would be no better
		return nil, err
	}
	fresh, terr := r.token(ctx, src)
	switch {
	case terr == nil:
	case errors.Is(terr, oauth.ErrTokenRefused): // the provider's own words say more
		return nil, err
	default:
		return nil, terr
	}
	if l, err = r.login(ctx, a, fresh, logins); err != nil && tokenRefused(err) {
		src.Invalidate(fresh)
	}
	return l, err
}

// token gets an access token that is not cached.
func (r *Relay) token(ctx context.Context, src *oauth.Source) (*oauth.Token, *Error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.TokenTimeout)
	defer cancel()
	tok, err := src.Get(ctx)
	if err != nil {
		return nil, &Error{Phase: PhaseToken, Err: err}
	}
	return tok, nil
}

// login opens a connection and logs in with tok.
func (r *Relay) login(ctx context.Context, a *account.Account, tok *oauth.Token, logins *int) (*smtpclient.Login, *Error) {
	if err := checkResponse(a, tok); err != nil {
		return nil, err
	}
	leave, down := r.enter(a.SMTP)
	if down != nil {
		return nil, &Error{Phase: PhaseConnect, Err: down, upstream: a.SMTP.String()}
	}
	*logins++
	start := time.Now()
	l, err := r.reach(ctx, a, leave)
	if err == nil {
		authStart := time.Now()
		err = r.auth(l, a, tok)
		r.metrics.authDuration.Update(time.Since(authStart).Seconds())
	}
	r.metrics.countLogin(err)
	if err != nil {
		err.upstream, err.provider = a.SMTP.String(), throttle.ProviderOf(a)
		return nil, err
	}
	r.metrics.phase(phaseSetup, time.Since(start))
	return l, nil
}

// reach is secure for the breaker of the endpoint, which is told what came of
// it after a panic too: one that waits for the end of a try lets no other begin.
func (r *Relay) reach(ctx context.Context, a *account.Account, leave func(*Error)) (l *smtpclient.Login, err *Error) {
	err = &Error{Phase: PhaseConnect, Err: errOwnFault}
	defer func() { leave(err) }()
	return r.secure(ctx, a)
}

// secure opens a connection up to the EHLO reply under TLS.
func (r *Relay) secure(ctx context.Context, a *account.Account) (*smtpclient.Login, *Error) {
	tcp, err := r.dialer.Dial(ctx, a)
	if err != nil {
		return nil, &Error{Phase: PhaseConnect, Err: err}
	}
	l, lerr := r.client.Open(ctx, tcp, a, r.dialer.TLS(a.SMTP.Host))
	if lerr != nil {
		return nil, loginError(lerr)
	}
	r.metrics.phase(phaseTLS, l.Secure)
	return l, nil
}

// loginError makes our error of one of the login.
func loginError(e *smtpclient.Error) *Error {
	if e == nil {
		return nil
	}
	return &Error{Phase: e.Phase, Reply: e.Reply, Err: e.Err}
}

// loginResult names the outcome of an attempt to connect and log in, for the
// metrics.
func loginResult(err *Error) int {
	switch {
	case err == nil:
		return loginOK
	case err.Phase == PhaseAuth && errors.Is(err.Err, ErrRefused):
		return loginRefused
	case err.Phase == PhaseTLS:
		return loginTLS
	case err.Phase == PhaseConnect:
		return loginConnect
	}
	return loginOther
}
