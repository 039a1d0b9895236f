package server

import (
	"net/netip"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
)

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
	if b[0] == recordHandshake {
		s.startTLS()
		s.feedTLS(b)
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
	case err == codec.ErrIncomplete:
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
	if len(rest) > 0 && s.state != stateClosed {
		s.take(rest)
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

// take gives what was read to the layer that it is for.
func (s *session) take(b []byte) {
	switch {
	case s.tls != nil:
		s.feedTLS(b)
	case s.state == stateProxyHeader:
		s.feedProxyHeader(b)
	case s.state == stateDetect:
		s.detect(b)
	default:
		s.feed(b)
	}
}

// enterSource counts a session to its source address, or says why it may not
// go on. A session without a source, of a unix socket, is always let in.
func (l *listener) enterSource(s *session) codec.Reply {
	if !s.source.IsValid() {
		return codec.NoReply
	}
	if !contains(l.cfg.Allow, s.source) && len(l.cfg.Allow) > 0 {
		l.srv.metrics.notAllowed.Inc()
		return replyNotAllowed
	}
	if l.cfg.MaxPerSource == 0 {
		return codec.NoReply
	}
	key := sourceKey(s.source)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sources[key] >= l.cfg.MaxPerSource {
		l.srv.metrics.overCap.Inc()
		return codec.ReplyTooManyConnections
	}
	l.sources[key]++
	s.counted = true
	return codec.NoReply
}

// sourceKey is what connections are counted by: whoever has an IPv6 address
// has at least all of its /64.
func sourceKey(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	network, _ := a.Prefix(64) // fails for lengths that no address has
	return network.Addr()
}

// leaveSource takes the session out of its source's count.
func (s *session) leaveSource() {
	if !s.counted {
		return
	}
	s.counted = false
	l := s.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	key := sourceKey(s.source)
	if l.sources[key]--; l.sources[key] == 0 {
		delete(l.sources, key)
	}
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
