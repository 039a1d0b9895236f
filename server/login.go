package server

import (
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
)

// authenticate checks a password against the listener's policy. An empty one is right with
// PolicyAny only. The reply may have to wait for a slow hash.
func (s *session) authenticate(user, pass []byte) (codec.Reply, state) {
	a := s.lookUp(user)
	done := func(res password.Result) { s.post(func() { s.passwordChecked(res) }) }
	checker := s.srv.passwords
	var res password.Result
	switch {
	case len(pass) == 0 && s.listener.policy != password.PolicyAny:
		res = password.Refused
	case s.listener.policy == password.PolicyShared:
		res = checker.Check("", s.srv.shared, pass, done)
	case s.listener.policy == password.PolicyAny && a != nil:
		res = password.Allowed
	case s.listener.policy == password.PolicyAny:
		res = password.Refused
	case a != nil:
		res = checker.Check(a.ID, storedPassword(a), pass, done)
	default:
		res = checker.CheckUnknown(string(user), pass, done)
	}
	if res == password.Pending {
		s.joining = a
		return codec.NoReply, stateAwaitPassword
	}
	return s.decide(a, res)
}

// onCRAM takes the response of CRAM-MD5 (RFC 2195): user, space, digest.
func (s *session) onCRAM(line []byte) (codec.Reply, state) {
	challenge := s.login
	s.login = nil
	msg, ok := s.decode(line)
	if !ok {
		return s.badAuth()
	}
	user, digest, err := codec.ParseCRAMMD5(msg)
	if err != nil {
		return s.badAuth()
	}
	a := s.lookUp(user)
	res := password.Refused
	switch s.listener.policy {
	case password.PolicyAny:
		if a != nil {
			res = password.Allowed
		}
	case password.PolicyShared:
		res = s.srv.passwords.CheckCRAMMD5(s.srv.shared, challenge, digest)
	default:
		var secret password.Secret
		if a != nil {
			secret = storedPassword(a)
		}
		res = s.srv.passwords.CheckCRAMMD5(secret, challenge, digest)
	}
	return s.decide(a, res)
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
func (s *session) decide(a *account.Account, res password.Result) (codec.Reply, state) {
	switch {
	case res == password.Busy:
		s.srv.metrics.Auth.Busy.Inc()
		return codec.ReplyTempAuthFailure, stateUnauth
	case res == password.Allowed && a != nil:
		return s.admitted(a)
	}
	return s.refuseLogin()
}

// checkPanicked reports a panic in the check of a password. The login is answered as if
// too many checks were under way.
func (s *Server) checkPanicked(p any, stack []byte) {
	s.panicked("panic in the check of a password, whose login fails", p, stack)
}

// passwordChecked is called on the loop after a slow hash was computed.
func (s *session) passwordChecked(res password.Result) {
	a := s.joining
	s.joining = nil
	if s.state != stateAwaitPassword {
		return // the client has gone
	}
	s.answer(s.decide(a, res))
	s.resume()
}

// refuseLogin counts the failure to the source address. The reply is delayed after many
// failures of that address.
func (s *session) refuseLogin() (codec.Reply, state) {
	s.srv.metrics.Auth.Refused.Inc()
	var delay time.Duration
	if s.listener.policy != password.PolicyAny { // with PolicyAny there is no password to guess
		delay = s.srv.failures.Failed(s.source, time.Now())
	}
	s.srv.log.Info("login refused: wrong password, or no such account",
		zap.Uint64("sid", s.id), zap.String("remote", s.remote), zap.Duration("delay", delay))
	if delay == 0 {
		return codec.ReplyAuthFailed, stateUnauth
	}
	s.times.delay = delay
	return codec.NoReply, stateDelayed
}

// delayOver sends the delayed refusal.
func (s *session) delayOver() {
	s.answer(codec.ReplyAuthFailed, stateUnauth)
	s.resume()
}

// admitted answers a login with the right password: 235 as soon as the account has a
// token.
func (s *session) admitted(a *account.Account) (codec.Reply, state) {
	s.srv.failures.Succeeded(s.source, time.Now())
	if r, held := s.suspended(a); held {
		return r, stateUnauth
	}
	if s.srv.tokens.Ready(a) {
		return s.loggedIn(a)
	}
	s.joining = a
	s.srv.tokens.Fetch(a, func(err error) { s.post(func() { s.tokenReady(err) }) })
	return codec.NoReply, stateAwaitToken
}

// suspended reports whether an operator has paused the account, and returns the reply
// that says so.
func (s *session) suspended(a *account.Account) (codec.Reply, bool) {
	if s.srv.cfg.Gate == nil {
		return codec.NoReply, false
	}
	if base := a.Base(); base != nil { // a catch-all account's pause holds for its mailboxes
		a = base
	}
	why, held := s.srv.cfg.Gate.Held(a.ID)
	return replySuspended(why), held
}

// offersCRAM reports whether CRAM-MD5 can work on this listener: it needs
// secrets that are stored recoverably, or none at all.
func (s *session) offersCRAM() bool { return s.listener.currentEHLO().cram }
