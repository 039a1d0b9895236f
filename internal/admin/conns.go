package admin

import (
	"net"

	"github.com/valyala/fasthttp"
)

// connection is what the server knows of an open connection.
type connection struct {
	of    *listener
	busy  bool   // a request is running
	since uint64 // Server.turn when it last became idle
}

// add takes c, of l, into the list. If l is full, the connection that has been idle for
// longest is closed for it: connections that send nothing must not keep others out. add
// returns false if requests run on all of them, or if the server is closing. (fasthttp
// would answer 503, which the client often loses: its request is not read.)
func (s *Server) add(l *listener, c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || l.open >= s.cfg.MaxConnections && !s.closeIdlest(l) {
		return false
	}
	l.open++
	s.turn++
	s.conns[c] = &connection{of: l, since: s.turn}
	return true
}

// closeIdlest closes the connection of l that has been idle for longest; false if none
// is. The caller holds mu.
func (s *Server) closeIdlest(l *listener) bool {
	var idlest net.Conn
	for c, is := range s.conns {
		if is.of == l && !is.busy && (idlest == nil || is.since < s.conns[idlest].since) {
			idlest = c
		}
	}
	if idlest == nil {
		return false
	}
	s.forget(idlest)
	_ = idlest.Close()
	return true
}

// remove takes a connection that has ended off the list.
func (s *Server) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
}

// forget is remove for callers that hold mu.
func (s *Server) forget(c net.Conn) {
	if is, ok := s.conns[c]; ok {
		is.of.open--
		delete(s.conns, c)
	}
}

// begin notes that a request of c is running.
func (s *Server) begin(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is, ok := s.conns[c]; ok { // it may have been closed for another one
		is.busy = true
	}
}

// track notes that the reply has been written. It is fasthttp's ConnState,
// whose StateActive comes with the connection already, before any request.
func (s *Server) track(c net.Conn, state fasthttp.ConnState) {
	if state != fasthttp.StateIdle {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if is, ok := s.conns[c]; ok {
		s.turn++
		is.busy, is.since = false, s.turn
	}
	if s.closing || s.paused {
		_ = c.Close()
	}
}

// closeConns closes the idle connections, or all.
func (s *Server) closeConns(all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, is := range s.conns {
		if all || !is.busy {
			_ = c.Close()
		}
	}
}
