package smtpd

import (
	"bufio"
	"crypto/tls"
	"net"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
)

const handshakeTime = 30 * time.Second

// newTLS is the TLS configuration of an endpoint with this certificate. Each has
// its own ticket keys, so that no session with a right certificate is resumed where
// a wrong one is due.
func newTLS(e Endpoint, cert tls.Certificate) *tls.Config {
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	switch e.TLSVersion {
	case "1.2":
		cfg.MaxVersion = tls.VersionTLS12
	case "1.3":
		cfg.MinVersion = tls.VersionTLS13
	}
	return cfg
}

// startTLS does the handshake, with the fault of phase tls.
func (s *session) startTLS() {
	cfg := s.ep.tls
	if f := s.hit(fault.PhaseTLS, nil); f != nil {
		// The fault strikes in the midst of the client's handshake.
		s.armDeadline(handshakeTime)
		if _, err := s.br.Peek(1); err != nil {
			s.ended = true
			return
		}
		proceed := false
		s.act(f, func() { proceed = true })
		switch {
		case s.ended:
			return
		case f.Action == fault.ActionWrongCertificate:
			cert, err := s.srv.ca.issueWrong(f.Certificate)
			if err != nil {
				s.ended = true
				return
			}
			cfg = newTLS(s.ep.Endpoint, cert)
		case !proceed:
			s.shut(fault.ActionClose)
			return
		}
	}
	s.raw.SetDeadline(time.Now().Add(handshakeTime))
	var under net.Conn = s.raw
	if s.br.Buffered() > 0 {
		under = bufferedConn{s.raw, s.br}
		s.br = readers.Get().(*bufio.Reader)
	}
	conn := tls.Server(under, cfg)
	if err := conn.Handshake(); err != nil {
		s.srv.counters.count(func(c *Stats) { c.TLSFailures++ })
		s.ended = true
		return
	}
	s.raw.SetDeadline(time.Time{})
	s.deadline = time.Time{}
	s.srv.counters.count(func(c *Stats) { c.TLSHandshakes++ })
	if conn.ConnectionState().DidResume {
		s.srv.counters.count(func(c *Stats) { c.TLSResumed++ })
	}
	s.tls = conn
	s.w.conn = conn
	s.offer = nil // RFC 3207 section 4.2: knowledge from before TLS is discarded
	s.br.Reset(conn)
}

// bufferedConn reads what was buffered in clear, then the connection. For the
// life of the TLS connection the clear reader belongs to it.
type bufferedConn struct {
	net.Conn
	br *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) {
	if c.br.Buffered() == 0 {
		return c.Conn.Read(p)
	}
	return c.br.Read(p)
}
