package server

import (
	"fmt"
	"sync/atomic"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/server/internal/descriptors"
	"xoauth2-proxy/server/internal/sources"
)

// listener is one open listening socket: its loop.Acceptor.
type listener struct {
	srv    *Server
	cfg    Listener
	socket loop.Socket
	name   string // the address, for records

	spare descriptors.Spare

	policy password.Policy

	ehlo atomic.Pointer[ehloReplies] // swapped when the accounts change

	active atomic.Int64 // sessions

	sources *sources.Count
}

func (s *Server) listen() error {
	passed := s.cfg.Passed
	if passed == nil {
		passed = new(loop.Passed)
	}
	defer passed.Close()
	for _, cfg := range s.cfg.Listeners {
		l, err := s.newListener(cfg, passed)
		if err != nil {
			s.closeListeners()
			return fmt.Errorf("server: %w", err)
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

func (s *Server) newListener(cfg Listener, passed *loop.Passed) (*listener, error) {
	socket, err := passed.Open(cfg.Address)
	if err != nil {
		return nil, err
	}
	l := &listener{srv: s, cfg: cfg, socket: socket, policy: cfg.Passwords, sources: sources.New(cfg.MaxPerSource)}
	l.name = socket.Addr().String()
	l.spare.Open() // on an error: without a spare, accepting waits at EMFILE
	if l.policy == "" {
		l.policy = password.PolicyAny
	}
	return l, nil
}

// closeListeners closes sockets that no loop accepts from.
func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.socket.Close()
		l.spare.Close()
	}
}
