package sandbox

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/store"
	"xoauth2-proxy/internal/sandbox/internal/tokend"
)

// Server is a running sandbox. Its methods may be called from any goroutine.
type Server struct {
	cfg       Config
	now       func() time.Time
	ca        *authority
	endpoints []*endpoint
	*messages
	*tokens
	faults
	directory
	latency atomic.Pointer[Latency] // nil: none

	counters    counters
	connections atomic.Uint64 // accepted so far; the last one's number
	log         commandLog

	done chan struct{}  // closed by Close
	wg   sync.WaitGroup // accept loops and sessions

	mu       sync.Mutex // guards what follows
	closed   bool
	sessions map[*session]struct{}
}

// AddAccount adds a mailbox.
func (s *Server) AddAccount(a Account) error {
	names := map[string]bool{}
	for _, ep := range s.endpoints {
		names[ep.Name] = true
	}
	m, err := s.directory.Add(a, names)
	if err != nil {
		return err
	}
	s.tokens.AddGrant(m)
	return nil
}

// endpoint is one SMTP submission server at work.
type endpoint struct {
	Endpoint
	preset       *preset
	limits       Limits
	offer, clear *offer // EHLO answers after and before TLS
	tls          *tls.Config
	ports        [2]port // STARTTLS, implicit TLS
}

// port is one listener. Its address is kept while it does not listen.
type port struct {
	addr string
	ln   net.Listener // nil: does not listen; under Server.mu
}

// New starts a sandbox. Close it when done.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, now: cfg.Now, done: make(chan struct{}),
		sessions: map[*session]struct{}{}, log: commandLog{limit: cfg.Record}}
	s.tokens = tokend.New(cfg.Tokens, cfg.Now, &s.directory, &s.faults, s.serveAPI)
	s.SetLatency(cfg.Latency)
	if err := s.SetFaults(cfg.Faults...); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		s.Close()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return s, nil
}

// start does the parts of New that need an end.
func (s *Server) start() (err error) {
	if s.messages, err = store.New(s.cfg.Store); err != nil {
		return err
	}
	if s.ca, err = newAuthority("sandbox CA"); err != nil {
		return err
	}
	cert, err := s.ca.issueRight()
	if err != nil {
		return err
	}
	for _, e := range s.cfg.Endpoints {
		ep := newEndpoint(e, cert, s.cfg.Limits == "on")
		s.endpoints = append(s.endpoints, ep)
		for i, addr := range []string{e.StartTLS, e.TLS} {
			if addr == "-" {
				continue
			}
			if err := s.listen(ep, i, addr); err != nil {
				return err
			}
		}
	}
	for _, a := range s.cfg.Accounts {
		if err := s.AddAccount(a); err != nil {
			return err
		}
	}
	for _, c := range s.cfg.Clients {
		if err := s.AddClient(c); err != nil {
			return err
		}
	}
	return s.tokens.Listen(s.cfg.HTTP)
}

func newEndpoint(e Endpoint, cert tls.Certificate, limits bool) *endpoint {
	p := presets[e.Preset].with(e.Replies)
	ep := &endpoint{Endpoint: e, preset: p, limits: p.limits.Merge(e.Limits), tls: newTLS(e, cert)}
	if !limits {
		ep.limits = ep.limits.Off()
	}
	keywords := p.keywords
	if e.Keywords != nil {
		keywords = e.Keywords
	}
	ep.offer = newOffer(keywords)
	ep.clear = ep.offer.clear("STARTTLS")
	if e.InClear {
		ep.clear = ep.offer.clear("AUTH PLAIN")
	}
	return ep
}

// listen opens a port of the endpoint and starts to accept.
func (s *Server) listen(ep *endpoint, i int, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		ln.Close()
		return net.ErrClosed
	}
	ep.ports[i] = port{addr: ln.Addr().String(), ln: ln}
	s.wg.Add(1)
	go s.accept(ep, ln, i == 1)
	return nil
}

// accept serves the connections of a listener until it is closed.
func (s *Server) accept(ep *endpoint, ln net.Listener, implicit bool) {
	defer s.wg.Done()
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors or the like: others will be freed
			if !s.rest() {
				return
			}
			continue
		}
		ses := &session{srv: s, ep: ep, raw: conn.(*net.TCPConn)}
		ses.tx.reset()
		if !s.enter(ses) {
			conn.Close()
			return
		}
		go ses.run(implicit)
	}
}

// rest waits a moment after an accept failed. It returns false when the server
// is closed.
func (s *Server) rest() bool {
	select {
	case <-s.done:
		return false
	case <-time.After(5 * time.Millisecond):
		return true
	}
}

// enter makes the session one of the server's. It fails when that is closed.
func (s *Server) enter(ses *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	ses.id = s.connections.Add(1)
	s.sessions[ses] = struct{}{}
	s.wg.Add(1)
	s.counters.opened()
	return true
}

func (s *Server) forget(ses *session) {
	s.mu.Lock()
	delete(s.sessions, ses)
	s.mu.Unlock()
	s.counters.open.Add(-1)
	s.wg.Done()
}

// Close ends all listeners, connections and goroutines, and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	for _, ep := range s.endpoints {
		for _, p := range ep.ports {
			if p.ln != nil {
				p.ln.Close()
			}
		}
	}
	for ses := range s.sessions {
		ses.raw.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.tokens.Close()
	return nil
}

// SetListening closes both ports of the endpoint, as if the provider were
// down: connections are refused; or opens them again at the same addresses.
// Live connections stay.
func (s *Server) SetListening(name string, on bool) error {
	ep := s.endpoint(name)
	if ep == nil {
		return fmt.Errorf("there is no endpoint %q", name)
	}
	for i := range ep.ports {
		s.mu.Lock()
		p := ep.ports[i]
		if !on {
			ep.ports[i].ln = nil
		}
		s.mu.Unlock()
		switch {
		case !on && p.ln != nil:
			if err := p.ln.Close(); err != nil {
				return err
			}
		case on && p.ln == nil && p.addr != "":
			if err := s.listen(ep, i, p.addr); err != nil {
				return err
			}
		}
	}
	return nil
}

// Disconnect closes all SMTP connections, without a word.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ses := range s.sessions {
		ses.raw.Close()
	}
}

// SetFaults replaces the fault script. Counters begin at 0. A fault that has
// struck already, such as a stall, goes on.
func (s *Server) SetFaults(rules ...Rule) error { return s.faults.Set(rules, s.connections.Load()) }

// SetLatency changes the delay of replies from now on.
func (s *Server) SetLatency(l Latency) {
	if l.RoundTrip == 0 && l.Final == 0 && len(l.Commands) == 0 {
		s.latency.Store(nil)
		return
	}
	s.latency.Store(&l)
}

func (s *Server) endpoint(name string) *endpoint {
	for _, ep := range s.endpoints {
		if ep.Name == name {
			return ep
		}
	}
	return nil
}

func (s *Server) portAddr(name string, i int) string {
	if ep := s.endpoint(name); ep != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return ep.ports[i].addr
	}
	return ""
}

// Addr returns the address of the endpoint's STARTTLS port, "" if it has none.
func (s *Server) Addr(endpoint string) string { return s.portAddr(endpoint, 0) }

// TLSAddr returns the address of the endpoint's implicit TLS port, "" if it
// has none.
func (s *Server) TLSAddr(endpoint string) string { return s.portAddr(endpoint, 1) }
