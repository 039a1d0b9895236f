package server

import (
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
