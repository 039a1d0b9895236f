package login

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/dial"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Opener opens connections. It is safe for concurrent use.
type Opener struct {
	Tokens       *oauth.Manager
	TokenTimeout time.Duration // for a token that is not cached
	Dialer       *dial.Dialer
	Client       smtpclient.Config  // of all connections
	Breakers     *throttle.Breakers // nil: none ever opens
	Metrics      *Metrics
	Log          *zap.Logger

	forms    authForms
	oddSizes sync.Map // the endpoints that settleSize has warned of, "host:port"
}

// Open opens a connection of a up to the provider's 235. A token that
// was there before and that the provider refuses is replaced once, on another
// connection. It counts the logins that it tries.
func (o *Opener) Open(ctx context.Context, a *account.Account, logins *int) (*smtpclient.Login, *failure.Error) {
	src := o.Tokens.Source(a)
	began := time.Now()
	tok := src.Cached()
	if tok == nil {
		var err *failure.Error
		if tok, err = o.token(ctx, src); err != nil {
			return nil, err
		}
	}
	l, err := o.login(ctx, a, tok, logins)
	if err == nil || !tokenRefused(err) {
		return l, err
	}
	src.Invalidate(tok)
	if !tok.Issued().Before(began) { // another one would be no better
		return nil, err
	}
	fresh, terr := o.token(ctx, src)
	switch {
	case terr == nil:
	case errors.Is(terr, oauth.ErrTokenRefused): // the provider's own words say more
		return nil, err
	default:
		return nil, terr
	}
	if l, err = o.login(ctx, a, fresh, logins); err != nil && tokenRefused(err) {
		src.Invalidate(fresh)
	}
	return l, err
}

// token gets an access token that is not cached.
func (o *Opener) token(ctx context.Context, src *oauth.Source) (*oauth.Token, *failure.Error) {
	ctx, cancel := context.WithTimeout(ctx, o.TokenTimeout)
	defer cancel()
	tok, err := src.Get(ctx)
	if err != nil {
		return nil, &failure.Error{Phase: throttle.PhaseToken, Err: err}
	}
	return tok, nil
}

// login opens a connection and logs in with tok.
func (o *Opener) login(ctx context.Context, a *account.Account, tok *oauth.Token, logins *int) (*smtpclient.Login, *failure.Error) {
	if err := checkResponse(a, tok); err != nil {
		return nil, err
	}
	leave, down := o.enter(a.SMTP)
	if down != nil {
		return nil, &failure.Error{Phase: throttle.PhaseConnect, Err: down, Upstream: a.SMTP.String()}
	}
	*logins++
	start := time.Now()
	l, err := o.reach(ctx, a, leave)
	if err == nil {
		authStart := time.Now()
		err = o.auth(l, a, tok)
		o.Metrics.auth.Update(time.Since(authStart).Seconds())
	}
	o.Metrics.count(a.Provider, err)
	if err != nil {
		err.Upstream, err.Provider = a.SMTP.String(), throttle.ProviderOf(a)
		return nil, err
	}
	o.Metrics.setup.Update(time.Since(start).Seconds())
	o.settleSize(&l.Offer, a)
	return l, nil
}

// reach is secure for the breaker of the endpoint, which is told what came of
// it after a panic too: one that waits for the end of a try lets no other begin.
func (o *Opener) reach(ctx context.Context, a *account.Account, leave func(*failure.Error)) (l *smtpclient.Login, err *failure.Error) {
	err = &failure.Error{Phase: throttle.PhaseConnect, Err: errOwnFault}
	defer func() { leave(err) }()
	return o.secure(ctx, a)
}

// secure opens a connection up to the EHLO reply under TLS.
func (o *Opener) secure(ctx context.Context, a *account.Account) (*smtpclient.Login, *failure.Error) {
	tcp, err := o.Dialer.Dial(ctx, a)
	if err != nil {
		failed := &failure.Error{Phase: throttle.PhaseConnect, Err: err}
		if route, ok := errors.AsType[*dial.RouteError](err); ok {
			failed.Class, failed.Hint = oauth.ClassMisconfigured, route.Hint
		}
		return nil, failed
	}
	l, lerr := o.Client.Open(ctx, tcp, a, o.Dialer.TLS(a.SMTP.Host))
	if lerr != nil {
		failed := loginError(lerr)
		if h := failed.Verdict().Hint; failed.Phase == throttle.PhaseEHLO && errors.Is(failed.Err, failure.ErrRefused) && h != hint.ConnectionRefused {
			failed.Class, failed.Hint = oauth.ClassMisconfigured, h
		}
		return nil, failed
	}
	o.Metrics.tls.Update(l.Secure.Seconds())
	return l, nil
}

// loginError makes our error of one of the login.
func loginError(e *smtpclient.Error) *failure.Error {
	if e == nil {
		return nil
	}
	return &failure.Error{Phase: e.Phase, Reply: e.Reply, Err: e.Err}
}
