package server

import (
	"errors"
	"net/netip"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/server/internal/descriptors"
	"xoauth2-proxy/server/internal/sources"
)

// Stopped implements loop.Acceptor.
func (l *listener) Stopped() {
	l.spare.Close()
	l.srv.accepting.Done()
}

// Failed implements loop.Acceptor. It returns true if it has refused a client by means of
// the spare descriptor.
func (l *listener) Failed(err error) bool {
	l.srv.metrics.AcceptErrors.Inc()
	l.srv.journal.Note(zap.WarnLevel, "cannot accept a connection", zap.Stringer("listener", l.socket.Addr()), zap.Error(err))
	return l.refuseWithSpare(err)
}

// Accepted implements loop.Acceptor: it makes a session of the socket, or refuses it with
// 421.
func (l *listener) Accepted(on *loop.Loop, fd int, remote netip.AddrPort) {
	s := l.srv
	s.learn(s.accounts.Load()) // in time for the EHLO of this session
	sess := &session{srv: s, listener: l, id: s.nextID.Add(1), remote: "unix"}
	if remote.IsValid() {
		sess.remote = remote.String()
		sess.source = remote.Addr()
		sess.awaitsHeader = sources.Contains(l.cfg.ProxyFrom, sess.source)
	}
	total, here := s.active.Add(1), l.active.Add(1)
	most, mostHere := int64(s.cfg.MaxConnections), int64(l.cfg.MaxConnections)
	if total > most || mostHere > 0 && here > mostHere || descriptors.Few(fd) {
		l.left()
		s.metrics.OverCap.Inc()
		s.journal.Reply(sess.who(), codec.ReplyTooManyConnections)
		l.refuse(fd, codec.ReplyTooManyConnections)
		return
	}
	if !sess.awaitsHeader {
		if r := l.enterSource(sess); !r.IsZero() {
			l.left()
			s.journal.Reply(sess.who(), r)
			l.refuse(fd, r)
			return
		}
	}
	s.metrics.Accepted.Inc()
	on.Serve(fd, sess)
}

// refuse sends r, unless the client expects TLS, and closes. The few octets fit any new
// socket's buffer, so refuse does not wait for the peer.
func (l *listener) refuse(fd int, r codec.Reply) {
	l.srv.metrics.Refusals.Count(r.Code, r.Hint)
	if l.cfg.TLS != TLSImplicit {
		_, _ = unix.Write(fd, r.AppendTo(nil))
	}
	_ = unix.Close(fd)
}

// refuseWithSpare answers one client with 421 when the process is out of descriptors: it
// accepts the client in place of the spare descriptor. It reports whether it did.
func (l *listener) refuseWithSpare(err error) bool {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		return false
	}
	refused := false
	l.spare.Lend(func() {
		var fd int
		if fd, _, err = l.socket.Accept(); err == nil {
			l.refuse(fd, codec.ReplyTooManyConnections)
			refused = true
		}
	})
	return refused
}
