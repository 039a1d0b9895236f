package server

import (
	"errors"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// Opened implements loop.Handler: it greets, unless a PROXY header or TLS comes first.
func (s *session) Opened(c *loop.Conn) {
	s.conn, s.loop = c, s.srv.loopOf(c.Loop())
	s.loop.sessions[s] = struct{}{}
	s.times.timer.Expirer = s
	s.times.ends = s.loop.Now() + loop.Ticks(s.srv.cfg.SessionTimeout)
	switch {
	case s.loop.draining:
		if s.plainStart() {
			_ = c.Write(codec.ReplyShutdown.AppendTo(nil)) // a failure closes
		}
		s.close()
	case s.plainStart(): // nothing is queued yet
		s.enter(stateHello)
		_ = c.Write(s.srv.greeting)
	case s.awaitsHeader:
		s.enter(stateProxyHeader)
	default:
		s.begin()
	}
}

// plainStart reports whether the session begins with a greeting in clear.
func (s *session) plainStart() bool {
	return !s.awaitsHeader && s.listener.cfg.TLS != TLSImplicit && s.listener.cfg.TLS != TLSDetect
}

// begin starts the dialogue, after the PROXY header if there is one.
func (s *session) begin() {
	switch s.listener.cfg.TLS {
	case TLSImplicit:
		s.startTLS()
	case TLSDetect:
		s.enter(stateDetect)
	default:
		s.greet()
	}
}

// greet queues the greeting.
func (s *session) greet() {
	s.loop.out = append(s.loop.out, s.srv.greeting...)
	s.enter(stateHello)
}

// detect decides between TLS and clear by the first octets of a client that has not been
// greeted.
func (s *session) detect(b []byte) {
	if loop.BeginsTLS(b) {
		s.startTLS()
		s.conn.FeedTLS(b)
		return
	}
	s.greet()
	s.feed(b)
}

// Received implements loop.Handler.
func (s *session) Received(b []byte) {
	switch s.state {
	case stateProxyHeader:
		s.feedProxyHeader(b)
	case stateDetect:
		s.detect(b)
	default:
		s.feed(b)
	}
}

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
		s.srv.journal.Reply(s.who(), r)
		s.close()
		return
	}
	s.answer(r, stateLinger)
	s.flush()
}
