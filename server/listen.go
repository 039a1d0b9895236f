package server

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/password"
)

// listener is one open listening socket: its loop.Acceptor.
type listener struct {
	srv    *Server
	cfg    Listener
	socket loop.Socket

	spareMu sync.Mutex
	spare   *os.File // a descriptor to give up when the process has no other

	policy password.Policy

	ehlo atomic.Pointer[ehloReplies] // swapped when the accounts change

	active atomic.Int64 // sessions

	mu      sync.Mutex // guards sources
	sources map[netip.Addr]int
}

func (s *Server) listen() error {
	var fromSystemd loop.Passed
	defer fromSystemd.Close()
	for _, cfg := range s.cfg.Listeners {
		l, err := s.newListener(cfg, &fromSystemd)
		if err != nil {
			s.closeListeners()
			return fmt.Errorf("server: %w", err)
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

func (s *Server) newListener(cfg Listener, fromSystemd *loop.Passed) (*listener, error) {
	socket, err := fromSystemd.Open(cfg.Address)
	if err != nil {
		return nil, err
	}
	spare, _ := os.Open(os.DevNull) // on an error: without a spare, accepting waits at EMFILE
	sources := make(map[netip.Addr]int)
	l := &listener{srv: s, cfg: cfg, socket: socket, spare: spare, policy: cfg.Passwords, sources: sources}
	if l.policy == "" {
		l.policy = password.PolicyAny
	}
	return l, nil
}

// closeListeners closes sockets that no loop accepts from.
func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.socket.Close()
		_ = l.spare.Close()
	}
}
