package server

import (
	"errors"
	"net/netip"
	"os"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// Stopped implements loop.Acceptor.
func (l *listener) Stopped() {
	_ = l.spare.Close()
	l.srv.accepting.Done()
}

// Failed implements loop.Acceptor. It returns true if it has refused a client by means of
// the spare descriptor.
func (l *listener) Failed(err error) bool {
	l.srv.metrics.acceptErrors.Inc()
	l.srv.log.Warn("cannot accept a connection", zap.Stringer("listener", l.socket.Addr()), zap.Error(err))
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
		sess.awaitsHeader = contains(l.cfg.ProxyFrom, sess.source)
	}
	total, here := s.active.Add(1), l.active.Add(1)
	most, mostHere := int64(s.cfg.MaxConnections), int64(l.cfg.MaxConnections)
	if total > most || mostHere > 0 && here > mostHere || fewDescriptors(fd) {
		l.left()
		s.metrics.overCap.Inc()
		l.refuse(fd, codec.ReplyTooManyConnections)
		return
	}
	if !sess.awaitsHeader {
		if r := l.enterSource(sess); !r.IsZero() {
			l.left()
			l.refuse(fd, r)
			return
		}
	}
	s.metrics.accepted.Inc()
	on.Serve(fd, sess)
}

// reservedDescriptors are kept for connections to providers and for files.
const reservedDescriptors = 8

// fewDescriptors reports whether the process, which has just been given fd, is about to
// run out of descriptors. The kernel gives out the lowest free number, so the next number
// tells. fewDescriptors asks for it only if fd is high.
func fewDescriptors(fd int) bool {
	var limit unix.Rlimit // may be changed from outside at any time
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || uint64(fd) < limit.Cur/2 {
		return false
	}
	next, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return true
	}
	_ = unix.Close(next)
	return uint64(next)+reservedDescriptors >= limit.Cur
}

// refuse sends r, unless the client expects TLS, and closes. The few octets fit any new
// socket's buffer, so refuse does not wait for the peer.
func (l *listener) refuse(fd int, r codec.Reply) {
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
	l.spareMu.Lock()
	defer l.spareMu.Unlock()
	if l.spare == nil { // it could not be opened again
		l.spare, _ = os.Open(os.DevNull)
		return false
	}
	_ = l.spare.Close()
	fd, _, err := l.socket.Accept()
	if err == nil {
		l.refuse(fd, codec.ReplyTooManyConnections)
	}
	l.spare, _ = os.Open(os.DevNull)
	return err == nil
}
