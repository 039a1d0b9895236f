package server

import (
	"github.com/panjf2000/gnet/v2"

	"xoauth2-proxy/codec"
)

// events receives what gnet reports. Connections without a session are the
// ones that findLoops made.
type events struct {
	gnet.BuiltinEventEngine
	srv *Server
}

func sessionOf(c gnet.Conn) *session {
	s, _ := c.Context().(*session)
	return s
}

// OnOpen greets. gnet writes out before anything else on the connection.
func (e *events) OnOpen(c gnet.Conn) (out []byte, action gnet.Action) {
	if w, ok := c.Context().(*watched); ok {
		w.opened(c)
		return nil, gnet.None
	}
	s := sessionOf(c)
	if s == nil {
		return nil, gnet.None
	}
	s.conn, s.loop = c, e.srv.loopOf(c.EventLoop())
	s.loop.enter()
	defer s.loop.leave()
	defer s.loop.recovered(s)
	s.loop.sessions[s] = struct{}{}
	s.ends = s.loop.ticks + ticksOf(e.srv.cfg.SessionTimeout)
	if s.loop.draining {
		if s.plainStart() {
			out = codec.ReplyShutdown.AppendTo(nil)
		}
		return out, gnet.Close
	}
	if s.plainStart() { // one write less than through begin
		s.enter(stateHello)
		return e.srv.greeting, gnet.None
	}
	if s.awaitsHeader {
		s.enter(stateProxyHeader)
	} else {
		s.begin()
	}
	return nil, gnet.None
}

// plainStart reports whether the session begins with a greeting in clear.
func (s *session) plainStart() bool {
	return !s.awaitsHeader && s.listener.cfg.TLS != TLSImplicit && s.listener.cfg.TLS != TLSDetect
}

// OnTraffic takes everything that was read, so that gnet keeps no copy.
func (e *events) OnTraffic(c gnet.Conn) gnet.Action {
	b, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	switch who := c.Context().(type) {
	case *session:
		who.received(b)
	case *watched:
		who.received(b)
	}
	return gnet.None
}

// OnClose may run inside a Write of ours.
func (e *events) OnClose(c gnet.Conn, err error) gnet.Action {
	if w, ok := c.Context().(*watched); ok {
		w.closed(err)
		return gnet.None
	}
	s := sessionOf(c)
	if s == nil {
		return gnet.None
	}
	if s.loop == nil { // never opened
		return gnet.None
	}
	s.loop.enter()
	defer s.loop.leave()
	defer s.loop.recovered(nil)
	delete(s.loop.sessions, s)
	s.loop.gone(s)
	s.broken = s.broken || err != nil
	s.closed()
	return gnet.None
}

// received serves the session with octets from its socket, for OnTraffic. b is
// gnet's again when it returns: what stays is copied.
func (s *session) received(b []byte) {
	s.loop.enter()
	defer s.loop.leave()
	defer s.loop.recovered(s)
	s.take(b)
}
