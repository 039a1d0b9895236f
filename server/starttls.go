package server

import (
	"errors"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// onSTARTTLS begins TLS (RFC 3207). Input in clear after the command must not be read as
// commands over TLS: it ends the session (CVE-2011-0411).
func (s *session) onSTARTTLS(args []byte) (codec.Reply, state) {
	switch {
	case !s.conn.HasTLS() && !s.listener.cfg.TLS.OffersSTARTTLS():
		return codec.ReplyNotImplemented, s.state
	case s.conn.HasTLS() || s.state != stateUnauth:
		return codec.ReplyBadSequence, s.state
	case len(args) > 0:
		return codec.ReplyBadArgs, s.state
	case len(s.pipelined) > 0:
		return codec.ReplyPipelinedTLS, stateLinger
	}
	return codec.ReplyStartTLS, stateHandshake
}

// startTLS puts TLS under the session.
func (s *session) startTLS() {
	s.upgraded = s.state == stateHandshake // entered with the reply to STARTTLS
	s.enter(stateHandshake)
	s.conn.StartTLS(s.srv.cfg.TLS)
}

// handshakeFailed is the log line of a handshake that fails.
const handshakeFailed = "TLS handshake failed"

// Secured implements loop.Handler: the handshake has ended. After an error the loop closes
// the connection.
func (s *session) Secured(err error) {
	m := s.srv.metrics
	switch {
	case s.state != stateHandshake || errors.Is(err, loop.ErrNoHandshake):
	case errors.Is(err, loop.ErrGaveWay):
		m.Evicted.Inc()
		s.refused(handshakeFailed, err.Error())
	case err != nil:
		m.HandshakeFailed.Inc()
		s.refused(handshakeFailed, err.Error())
	default:
		m.HandshakeOK.Inc()
		if s.upgraded { // the EHLO in clear counts no more (RFC 3207 section 4.2)
			s.enter(stateHello)
		} else {
			s.greet()
		}
		s.flush()
	}
}
