package server

import (
	"bytes"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
)

// onAUTH starts a SASL exchange (RFC 4954). After one successful login the
// rules refuse a second one.
func (s *session) onAUTH(args []byte) (codec.Reply, state) {
	if s.listener.cfg.TLS == TLSRequired && !s.conn.HasTLS() {
		return codec.ReplyTLSRequired, s.state
	}
	mech, initial, err := codec.ParseAuth(args)
	s.tried = ""
	if err != nil {
		return s.malformed(codec.ReplyForArgs(err), s.state)
	}
	switch {
	case mech == codec.MechCRAMMD5 && s.offersCRAM():
		if initial != nil { // RFC 4954 section 4: the server speaks first in this mechanism
			return s.malformed(codec.ReplyBadArgs, s.state)
		}
		challenge := codec.CRAMMD5Challenge(s.srv.cfg.Hostname)
		s.login = []byte(challenge)
		return codec.Reply{Code: 334, Text: string(codec.AppendBase64(nil, s.login))}, stateAuthCRAM
	case mech == codec.MechPLAIN && initial != nil:
		return s.onPlain(initial)
	case mech == codec.MechPLAIN:
		return codec.ReplyAskResponse, stateAuthPlain
	case mech == codec.MechLOGIN && initial != nil:
		return s.onLoginUser(initial)
	case mech == codec.MechLOGIN:
		return codec.ReplyAskUsername, stateAuthLoginUser
	}
	s.srv.metrics.Auth.Mechanism.Inc()
	return codec.ReplyUnknownMechanism, s.state
}

// onAuthLine takes one line of the exchange; "*" cancels it.
func (s *session) onAuthLine(line []byte) (codec.Reply, state) {
	if len(line) == 1 && line[0] == '*' {
		s.login = nil
		return codec.ReplyAuthCancelled, stateUnauth
	}
	switch s.state {
	case stateAuthLoginUser:
		return s.onLoginUser(line)
	case stateAuthLoginPass:
		return s.onLoginPass(line)
	case stateAuthCRAM:
		return s.onCRAM(line)
	}
	return s.onPlain(line)
}

// onPlain takes the message of RFC 4616. An authorization identity, if given, must equal
// the authentication identity.
func (s *session) onPlain(line []byte) (codec.Reply, state) {
	msg, ok := s.decode(line)
	if !ok {
		return s.badAuth()
	}
	defer clear(msg)
	authzid, authcid, pass, err := codec.ParsePlain(msg)
	if err != nil {
		return s.badAuth()
	}
	wrong := len(authzid) > 0 && account.FoldLogin(string(authzid)) != account.FoldLogin(string(authcid))
	return s.authenticate(authcid, password.Login{Password: pass, Wrong: wrong})
}

func (s *session) onLoginUser(line []byte) (codec.Reply, state) {
	user, ok := s.decode(line)
	if !ok {
		return s.badAuth()
	}
	s.login = bytes.Clone(user)
	s.tries(user)
	return codec.ReplyAskPassword, stateAuthLoginPass
}

func (s *session) onLoginPass(line []byte) (codec.Reply, state) {
	pass, ok := s.decode(line)
	user := s.login
	s.login = nil
	if !ok {
		return s.badAuth()
	}
	defer clear(pass)
	return s.authenticate(user, password.Login{Password: pass})
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
	return s.authenticate(user, password.Login{Challenge: challenge, Response: digest})
}

// decode returns the octets of a base64 line, valid until the next call on this loop.
func (s *session) decode(line []byte) ([]byte, bool) {
	msg, err := codec.DecodeBase64(s.loop.sasl[:0], line)
	if err != nil {
		return nil, false
	}
	s.loop.sasl = msg
	return msg, true
}

func (s *session) badAuth() (codec.Reply, state) {
	s.srv.metrics.Auth.Decode.Inc()
	return s.malformed(codec.ReplyAuthMalformed, stateUnauth)
}

// malformed logs that a login is refused for its form.
func (s *session) malformed(r codec.Reply, next state) (codec.Reply, state) {
	s.refused("login refused: malformed", r.Text, r.Hint.Fields()...)
	return r, next
}

// checkAccount takes the account from the snapshot in force, if the accounts were reloaded
// since the login. It reports whether the account is still there.
func (s *session) checkAccount() bool {
	current := s.srv.accounts.Load()
	if current == s.snapshot {
		return true
	}
	a, ok := current.ByID(s.account.ID)
	if ok && a.Email == s.account.Email {
		s.snapshot, s.account = current, a
		return true
	}
	return false
}
