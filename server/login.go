package server

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/server/internal/journal"
	"xoauth2-proxy/upstream"
)

// authenticate checks a login against the listener's policy. An empty password is right with
// PolicyAny only. The reply may have to wait for a slow hash, or for other logins.
func (s *session) authenticate(user []byte, l password.Login) (codec.Reply, state) {
	s.tries(user)
	a := s.lookUp(user)
	if a == nil && s.snapshot.IsLeftOut(user) {
		return s.deferLogin()
	}
	if s.listener.policy == password.PolicyAny { // there is no password to guess
		if a == nil || l.Wrong {
			return s.decide(a, password.Verdict{Result: password.Refused})
		}
		return s.decide(a, password.Verdict{Result: password.Allowed})
	}
	l.Source, l.Unknown = s.source, a == nil
	l.Wrong = l.Wrong || l.Challenge == nil && len(l.Password) == 0
	if a != nil {
		l.Name = "=" + a.ID
	} else {
		l.Name = "?" + account.FoldLogin(string(user))
	}
	switch {
	case s.listener.policy == password.PolicyShared: // known and unknown names do not differ
		l.Secret = s.srv.shared
	case a != nil:
		l.ID, l.Secret = a.ID, storedPassword(a)
	default:
		l.ID = string(user)
	}
	v := s.srv.guard.Check(l, func(v password.Verdict) { s.post(func() { s.passwordChecked(v) }) })
	if v.Result == password.Pending {
		s.joining = a
		return codec.NoReply, stateAwaitPassword
	}
	return s.decide(a, v)
}

// lookUp returns the account of a user name, nil if there is none.
func (s *session) lookUp(user []byte) *account.Account {
	s.snapshot = s.srv.accounts.Load()
	s.srv.learn(s.snapshot)
	a, _ := s.snapshot.ByLogin(user)
	return a
}

// storedPassword returns the secret of an account: the zero Secret, which nothing matches,
// if it has none. internal/accountfile has checked that it can be parsed.
func storedPassword(a *account.Account) password.Secret {
	secret, err := password.Parse(a.ClientPassword.Reveal())
	if err != nil {
		return password.Secret{}
	}
	return secret
}

// decide ends the check of the password. It refuses an unknown account like a wrong
// password.
func (s *session) decide(a *account.Account, v password.Verdict) (codec.Reply, state) {
	switch v.Result {
	case password.Busy:
		s.srv.metrics.Auth.Busy.Inc()
		s.refused("login refused: too many wait for a check", codec.ReplyTempAuthFailure.Text, codec.ReplyTempAuthFailure.Hint.Fields()...)
		return codec.ReplyTempAuthFailure, stateUnauth
	case password.Limited:
		s.srv.metrics.Auth.SourceRefused.Inc()
		s.refused("login refused: too many failures", codec.ReplyTooManyFailures.Text, codec.ReplyTooManyFailures.Hint.Fields()...)
		return codec.ReplyTooManyFailures, stateUnauth
	case password.Allowed:
		return s.admitted(a)
	}
	return s.refuseLogin(v.Delay)
}

// checkPanicked reports a panic in the check of a password. The login is answered as if
// too many checks were under way.
func (s *Server) checkPanicked(p any, stack []byte) {
	s.panicked("panic in the check of a password, whose login fails", p, stack)
}

// passwordChecked is called on the loop after a slow hash was computed.
func (s *session) passwordChecked(v password.Verdict) {
	a := s.joining
	s.joining = nil
	if s.state != stateAwaitPassword {
		return // the client has gone
	}
	s.answer(s.decide(a, v))
	s.resume()
}

// refuseLogin refuses a login, after a delay if there were many failures.
func (s *session) refuseLogin(delay time.Duration) (codec.Reply, state) {
	s.srv.metrics.Auth.Refused.Inc()
	s.refused("login refused: wrong password, or no such account", codec.ReplyAuthFailed.Text,
		append(codec.ReplyAuthFailed.Hint.Fields(), zap.Duration("delay", delay))...)
	if delay == 0 {
		return codec.ReplyAuthFailed, stateUnauth
	}
	s.times.delay = delay
	return codec.NoReply, stateDelayed
}

// deferLogin answers a login for an account whose entry in the file is wrong, whatever
// the password: the client may try again when the file is right.
func (s *session) deferLogin() (codec.Reply, state) {
	s.srv.metrics.Auth.Refused.Inc()
	s.refused("login refused: the account's entry in the file is wrong", codec.ReplyEntryWrong.Text, codec.ReplyEntryWrong.Hint.Fields()...)
	return codec.ReplyEntryWrong, stateUnauth
}

// delayOver sends the delayed refusal.
func (s *session) delayOver() {
	s.answer(codec.ReplyAuthFailed, stateUnauth)
	s.resume()
}

// admitted answers a login with the right password: 235 as soon as the account has a
// token.
func (s *session) admitted(a *account.Account) (codec.Reply, state) {
	if r, held := s.suspended(a); held {
		return r, stateUnauth
	}
	if s.srv.tokens.Ready(a) {
		return s.loggedIn(a)
	}
	s.joining = a
	s.fetches++
	fetch := s.fetches
	s.srv.tokens.Fetch(a, func(err error) { s.post(func() { s.tokenReady(fetch, err) }) })
	return codec.NoReply, stateAwaitToken
}

// loggedIn ends a login, unless the account was removed while it was decided.
func (s *session) loggedIn(a *account.Account) (codec.Reply, state) {
	s.account = a
	if !s.checkAccount() {
		s.account = nil
		return s.refuseLogin(0)
	}
	s.share = s.srv.shares.Of(a)
	s.srv.relay.Expect(a, s.loop.Loop)
	s.srv.metrics.Auth.Success.Inc()
	return codec.ReplyAuthOK, stateReady
}

// errTokenLate ends the wait for a token that does not come.
var errTokenLate = errors.New("the access token did not come in time")

// tokenReady ends the wait for the token.
func (s *session) tokenReady(fetch uint64, err error) {
	if s.state != stateAwaitToken || fetch != s.fetches {
		return // the client has gone, or was told already
	}
	a := s.joining
	s.joining = nil
	if err != nil {
		r := upstream.TokenReply(err, codec.ReplyTempAuthFailure, codec.ReplyAuthFailed)
		s.srv.metrics.Auth.Token.Inc()
		const text = "login refused: no access token"
		if e, ok := errors.AsType[interface {
			error
			IsLogged() bool
		}](err); ok && e.IsLogged() { // with more than is known here
			s.srv.journal.Repeated(s.who(), text, err.Error())
		} else {
			s.refused(text, err.Error(), append(r.Hint.Fields(), zap.String("account", a.ID), zap.Int("code", r.Code))...)
		}
		s.answer(r, stateUnauth)
	} else {
		s.answer(s.loggedIn(a))
	}
	s.resume()
}

// suspended reports whether an operator has paused the account, and returns the reply
// that says so.
func (s *session) suspended(a *account.Account) (codec.Reply, bool) {
	if s.srv.cfg.Orders == nil {
		return codec.NoReply, false
	}
	if base := a.Base(); base != nil { // a catch-all account's pause holds for its mailboxes
		a = base
	}
	why, held := s.srv.cfg.Orders.Held(a.ID)
	return codec.ReplySuspended(why), held
}

// tries notes the user name of a login for the log.
func (s *session) tries(user []byte) { s.tried = string(user[:min(len(user), account.MaxLogin)]) }

// who is what the log says of the session.
func (s *session) who() journal.Client {
	c := journal.Client{Session: s.id, Remote: s.remote, User: s.tried}
	if s.account != nil {
		c.Account, c.Email, c.User = s.account.ID, s.account.Email, ""
	}
	return c
}

// refused logs a refusal that the proxy itself has decided.
func (s *session) refused(text, reason string, more ...zap.Field) {
	s.srv.journal.Refused(s.who(), text, reason, more...)
}
