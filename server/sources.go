package server

import (
	"net/netip"

	"xoauth2-proxy/codec"
)

// left counts a session out.
func (l *listener) left() {
	l.active.Add(-1)
	if l.srv.active.Add(-1) == 0 {
		select {
		case l.srv.empty <- struct{}{}:
		default:
		}
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

// sourceKey is what connections are counted by: a host with an IPv6 address
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
