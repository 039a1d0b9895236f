package smtpd

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/store"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Config has what a server needs; all fields but Record must be set.
type Config struct {
	Endpoints []Endpoint // with their defaults filled in
	Limits    bool       // whether limits are enforced
	Record    int        // number of commands to keep, see Server.Commands
	Now       func() time.Time
	Boxes     *mailbox.Directory
	Faults    *fault.Script
	Store     *store.Store
	// Accepts reports whether an access token opens the mailbox, which may be nil,
	// at an endpoint.
	Accepts func(m *mailbox.Mailbox, token, endpoint string) bool
}

// Server has the SMTP endpoints. Its methods may be called from any goroutine.
type Server struct {
	cfg       Config
	ca        *authority
	endpoints []*endpoint
	latency   atomic.Pointer[Latency]
	counters  counters
	log       commandLog
	conns     *wait.Conns

	mu sync.Mutex // guards the ports; Conns may be used under it
}

// endpoint is one SMTP submission server at work.
type endpoint struct {
	Endpoint
	preset       *preset
	limits       mailbox.Limits
	offer, clear *offer // EHLO replies after and before TLS
	tls          *tls.Config
	ports        [2]port // STARTTLS, implicit TLS
}

// port is one listener. Its address is kept while it does not listen.
type port struct {
	addr string
	ln   net.Listener // nil: does not listen
}

// New makes a server with a certificate authority of its own; Listen starts it.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: commandLog{limit: cfg.Record}, conns: wait.NewConns()}
	s.SetLatency(Latency{})
	var err error
	if s.ca, err = newAuthority("sandbox CA"); err != nil {
		return nil, err
	}
	cert, err := s.ca.issueRight()
	if err != nil {
		return nil, err
	}
	for _, e := range cfg.Endpoints {
		s.endpoints = append(s.endpoints, newEndpoint(e, cert, cfg.Limits))
	}
	return s, nil
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

// Listen opens the ports of all endpoints. It is called once.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ep := range s.endpoints {
		for i, addr := range []string{ep.StartTLS, ep.TLS} {
			if addr == "-" {
				continue
			}
			if err := s.listen(ep, i, addr); err != nil {
				return err
			}
		}
	}
	return nil
}

// listen opens a port of the endpoint and starts to accept. s.mu is held.
func (s *Server) listen(ep *endpoint, i int, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	ep.ports[i] = port{addr: ln.Addr().String(), ln: ln}
	return s.conns.Serve(ln, func(c *net.TCPConn) func() {
		ses := &session{srv: s, ep: ep, raw: c, id: s.counters.opened()}
		ses.tx.reset()
		return func() { ses.run(i == 1) }
	})
}

// Close ends all listeners, connections and goroutines, and waits for them.
func (s *Server) Close() { s.conns.Close() }

// Disconnect closes all SMTP connections, without a word.
func (s *Server) Disconnect() { s.conns.Disconnect() }

// SetListening closes both ports of the endpoint, as if the provider were down:
// connections are refused; or opens them again at the same addresses. Live
// connections stay.
func (s *Server) SetListening(name string, on bool) error {
	ep := s.endpoint(name)
	if ep == nil {
		return fmt.Errorf("there is no endpoint %q", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range ep.ports {
		var err error
		switch p := &ep.ports[i]; {
		case !on && p.ln != nil:
			err = p.ln.Close()
			p.ln = nil
		case on && p.ln == nil && p.addr != "":
			err = s.listen(ep, i, p.addr)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SetLatency changes the delay of replies from now on.
func (s *Server) SetLatency(l Latency) { s.latency.Store(&l) }

// endpoint returns the endpoint of that name, or nil.
func (s *Server) endpoint(name string) *endpoint {
	for _, ep := range s.endpoints {
		if ep.Name == name {
			return ep
		}
	}
	return nil
}

func (s *Server) portAddr(name string, i int) string {
	ep := s.endpoint(name)
	if ep == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return ep.ports[i].addr
}

// Addr returns the address of the endpoint's STARTTLS port, "" if it has none.
func (s *Server) Addr(endpoint string) string { return s.portAddr(endpoint, 0) }

// TLSAddr returns the address of the endpoint's implicit TLS port, "" if it
// has none.
func (s *Server) TLSAddr(endpoint string) string { return s.portAddr(endpoint, 1) }
