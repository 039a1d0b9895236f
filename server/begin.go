package server

import (
	"errors"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// Opened implements loop.Handler: it greets, unless something comes before that.
func (s *session) Opened(c *loop.Conn) {
	s.conn, s.loop = c, s.srv.loopOf(c.Loop())
	s.loop.sessions[s] = struct{}{}
	s.timer.Expirer = s
	s.ends = s.loop.Now() + loop.Ticks(s.srv.cfg.SessionTimeout)
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

// begin starts the dialogue, once it is known who the client is: the PROXY
// header, if there is to be one, has been read.
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

// detect looks at what a client says before it is greeted.
func (s *session) detect(b []byte) {
	if loop.BeginsTLS(b) {
		s.startTLS()
		s.conn.FeedTLS(b)
		return
	}
	s.greet()
	s.feed(b)
}

// feedProxyHeader takes octets up to the end of the PROXY header, and then
// those behind it.
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
		s.srv.metrics.badProxyHeaders.Inc()
		s.srv.log.Info("bad PROXY header", zap.Uint64("sid", s.id), zap.String("remote", s.remote))
		s.close()
		return
	}
	if header.Source.IsValid() {
		s.source = header.Source.Addr().Unmap()
		s.remote = header.Source.String()
	}
	if !header.Local { // else it is the proxy itself, which is trusted
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

// refuseSource ends a session that may not begin. Where TLS comes first, it
// cannot be told why.
func (s *session) refuseSource(r codec.Reply) {
	if s.listener.cfg.TLS == TLSImplicit {
		s.close()
		return
	}
	s.answer(r, stateLinger)
	s.flush()
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
