package server

import (
	"errors"

	"xoauth2-proxy/codec"
)

// feedProxyHeader takes octets up to the end of the PROXY header. The octets after it
// begin the dialogue.
func (s *session) feedProxyHeader(b []byte) {
	if s.in != nil {
		_, _ = s.in.Write(b) // never fails
		b = s.in.B
	}
	header, n, err := codec.ParseProxyHeader(b)
	switch {
	case errors.Is(err, codec.ErrIncomplete):
		s.keep(b)
		return
	case err != nil:
		s.srv.metrics.BadProxyHeaders.Inc()
		s.refused("bad PROXY header", err.Error())
		s.close()
		return
	}
	if header.Source.IsValid() {
		s.source = header.Source.Addr().Unmap()
		s.remote = header.Source.String()
	}
	if !header.Local { // a Local connection is the proxy's own, and trusted
		if r := s.listener.enterSource(s); !r.IsZero() {
			s.refuseSource(r)
			return
		}
	}
	rest := append([]byte(nil), b[n:]...)
	if s.in != nil {
		codec.PutBuffer(s.in)
		s.in = nil
	}
	s.begin()
	s.flush()
	switch {
	case len(rest) == 0 || s.state == stateClosed:
	case s.conn.HasTLS():
		s.conn.FeedTLS(rest)
	default:
		s.Received(rest)
	}
}

// refuseSource ends a session that enterSource refuses. Where TLS comes first, it ends
// without a reply.
func (s *session) refuseSource(r codec.Reply) {
	if s.listener.cfg.TLS == TLSImplicit {
		s.close()
		return
	}
	s.answer(r, stateLinger)
	s.flush()
}
