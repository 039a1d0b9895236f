package server

import "xoauth2-proxy/codec"

// onSTARTTLS begins TLS (RFC 3207). Whatever the client sent in clear behind
// the command must not be read as commands later on: that ends the session
// (CVE-2011-0411).
func (s *session) onSTARTTLS(args []byte) (codec.Reply, state) {
	switch {
	case s.tls == nil && !s.listener.cfg.TLS.offered():
		return codec.ReplyNotImplemented, s.state
	case s.tls != nil || s.state != stateUnauth:
		return codec.ReplyBadSequence, s.state
	case len(args) > 0:
		return codec.ReplyBadArgs, s.state
	case len(s.behind) > 0:
		return codec.ReplyPipelinedTLS, stateLinger
	}
	return codec.ReplyStartTLS, stateHandshake
}
