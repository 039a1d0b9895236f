package sandbox

import (
	"fmt"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/smtpd"
	"xoauth2-proxy/internal/sandbox/internal/store"
	"xoauth2-proxy/internal/sandbox/internal/tokend"
)

// The rooms that give a Server their methods, and the counters of two.
type (
	directory  = mailbox.Directory
	messages   = store.Store
	script     = fault.Script
	smtpServer = smtpd.Server
	smtpStats  = smtpd.Stats
	tokens     = tokend.Server
	tokenStats = tokend.Stats
)

// Server is a running sandbox. It has the methods of its rooms too. All methods may
// be called from any goroutine.
type Server struct {
	directory
	script
	*messages
	*smtpServer
	*tokens
	endpoints map[string]bool // their names
	now       func() time.Time
}

// New starts a sandbox. Close it when done.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{endpoints: map[string]bool{}}
	for _, e := range cfg.Endpoints {
		s.endpoints[e.Name] = true
	}
	s.now = cfg.Now
	s.tokens = tokend.New(cfg.Tokens, cfg.Now, &s.directory, &s.script, s.serveAPI)
	var err error
	if s.messages, err = store.New(cfg.Store); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s.smtpServer, err = smtpd.New(smtpd.Config{Endpoints: cfg.Endpoints, Limits: cfg.Limits == "on",
		Record: cfg.Record, Now: cfg.Now,
		Boxes: &s.directory, Faults: &s.script, Store: s.messages, Accepts: s.Accepts})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if err := s.start(cfg); err != nil {
		s.Close()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return s, nil
}

// start does the parts of New that Close ends.
func (s *Server) start(cfg Config) error {
	s.SetLatency(cfg.Latency)
	if err := s.SetFaults(cfg.Faults...); err != nil {
		return err
	}
	for _, t := range cfg.Tenants {
		if err := s.AddTenant(t); err != nil {
			return err
		}
	}
	s.WatchSpans(cfg.Spans)
	for _, a := range cfg.Accounts {
		if err := s.AddAccount(a); err != nil {
			return err
		}
	}
	for _, c := range cfg.Clients {
		if err := s.AddClient(c); err != nil {
			return err
		}
	}
	if err := s.smtpServer.Listen(); err != nil {
		return err
	}
	return s.tokens.Listen(cfg.HTTP)
}

// Close ends all listeners, connections and goroutines, and waits for them.
func (s *Server) Close() error {
	s.smtpServer.Close()
	s.tokens.Close()
	return nil
}

// AddAccount adds a mailbox.
func (s *Server) AddAccount(a Account) error {
	m, err := s.directory.Add(a, s.endpoints)
	if err != nil {
		return err
	}
	s.AddGrant(m)
	return nil
}

// SetFaults replaces the fault script. Counters begin at 0. A fault that has
// struck already, such as a stall, goes on.
func (s *Server) SetFaults(rules ...Rule) error {
	return s.script.Set(rules, uint64(s.Stats().Connections))
}

// Stats are the counters of a sandbox.
type Stats struct {
	smtpStats
	tokenStats
	// Violations counts breaches of protocol by name.
	Violations map[string]int64 `json:"violations"`
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	smtp, violations := s.smtpServer.Stats()
	return Stats{smtp, s.tokens.Stats(), violations}
}
