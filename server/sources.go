package server

import (
	"net/netip"

	"xoauth2-proxy/codec"
)

// left decrements the session counts, when a session has ended.
func (l *listener) left() {
	l.active.Add(-1)
	if l.srv.active.Add(-1) == 0 {
		select {
		case l.srv.empty <- struct{}{}:
		default:
		}
	}
}

// enterSource counts a session to its source address, or returns the refusal. It admits
// every session without a source, which came by a unix socket.
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

// sourceKey returns the address that counts for a source: of an IPv6 address its /64
// network, since a host can use all of that.
func sourceKey(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	network, _ := a.Prefix(64) // fails only for impossible lengths
	return network.Addr()
}

// leaveSource undoes enterSource.
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
