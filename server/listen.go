package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/password"
)

// listener is one open listening socket. The server accepts itself: gnet's
// own acceptor ends the whole engine on EMFILE and the like.
type listener struct {
	srv   *Server
	cfg   Listener
	ln    net.Listener
	spare *os.File // a descriptor to give up when there are none left

	policy password.Policy

	offer atomic.Pointer[offer]

	active atomic.Int64 // sessions
	lastFD uint64       // descriptor of the last session; of the accepting goroutine

	mu      sync.Mutex // guards sources
	sources map[netip.Addr]int
}

func (s *Server) listen() error {
	var fromSystemd passed
	defer fromSystemd.close()
	for _, cfg := range s.cfg.Listeners {
		ln, err := open(cfg.Address, &fromSystemd)
		if err != nil {
			s.closeListeners()
			return fmt.Errorf("server: %w", err)
		}
		spare, _ := os.Open(os.DevNull) // without it, EMFILE is only waited out
		l := &listener{srv: s, cfg: cfg, ln: ln, spare: spare, policy: cfg.Passwords, sources: make(map[netip.Addr]int)}
		if l.policy == "" {
			l.policy = password.PolicyAny
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

// open opens the listening socket of an address.
func open(address string, fromSystemd *passed) (net.Listener, error) {
	kind, name, _ := strings.Cut(address, ":")
	switch kind {
	case "unix":
		if err := removeStale(name); err != nil {
			return nil, err
		}
		return net.Listen("unix", name)
	case "systemd":
		return fromSystemd.take(name)
	}
	lc := net.ListenConfig{KeepAlive: -1, Control: keepAlive}
	return lc.Listen(context.Background(), "tcp", address)
}

// keepAlive sets the probes of idle connections on the listening socket, from
// which accepted ones inherit them: that saves four calls for each.
func keepAlive(_, _ string, c syscall.RawConn) (err error) {
	set := func(fd uintptr, level, name, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), level, name, value))
		}
	}
	cerr := c.Control(func(fd uintptr) {
		set(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		set(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60)  // seconds
		set(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 20) // seconds
		set(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// removeStale removes a unix socket that a process left behind. One that
// somebody still listens on is an error.
func removeStale(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // listening will say what is wrong
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return fmt.Errorf("listen unix %s: another process listens there", path)
	}
	return os.Remove(path)
}

// passed are the sockets that systemd passed to this process. They can be asked
// for once only.
type passed struct{ byName map[string][]net.Listener }

// take gives away the socket of that name.
func (p *passed) take(name string) (net.Listener, error) {
	if p.byName == nil {
		var err error
		if p.byName, err = activation.ListenersWithNames(); err != nil {
			return nil, err
		}
	}
	found := p.byName[name]
	if len(found) != 1 || found[0] == nil {
		return nil, fmt.Errorf("systemd passed no listening socket of name %q, or several", name)
	}
	delete(p.byName, name)
	return found[0], nil
}

// close closes the sockets that nobody took: nobody would accept on them.
func (p *passed) close() {
	for _, found := range p.byName {
		for _, ln := range found {
			_ = ln.Close()
		}
	}
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.ln.Close()
	}
}

// acceptPause is how long accepting rests after an error, so that a lasting
// one does not spin.
const acceptPause = 10 * time.Millisecond

// accept hands sockets to the loops until the listener is closed.
func (l *listener) accept() {
	defer l.srv.running.Done()
	defer func() { _ = l.spare.Close() }()
	for {
		c, err := l.ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			l.srv.metrics.acceptErrors.Inc()
			l.srv.log.Warn("accepting a connection", zap.Stringer("listener", l.ln.Addr()), zap.Error(err))
			if !l.refuseWithSpare(err) {
				time.Sleep(acceptPause)
			}
			continue
		}
		l.admit(c)
	}
}

// admit makes a session of c, or says with 421 why not.
func (l *listener) admit(c net.Conn) {
	s := l.srv
	s.learn(s.accounts.Load()) // in time for what the session will ask for
	sess := &session{srv: s, listener: l, id: s.nextID.Add(1), remote: "unix"}
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		sess.remote = tcp.String()
		sess.source = tcp.AddrPort().Addr().Unmap().WithZone("")
		sess.awaitsHeader = contains(l.cfg.ProxyFrom, sess.source)
		dropZone(tcp)
		dropZone(c.LocalAddr().(*net.TCPAddr))
	}
	total, here := s.active.Add(1), l.active.Add(1)
	if total > int64(s.cfg.MaxConnections) || l.cfg.MaxConnections > 0 && here > int64(l.cfg.MaxConnections) || l.fewDescriptors(c) {
		l.left()
		s.metrics.overCap.Inc()
		l.refuse(c, codec.ReplyTooManyConnections)
		return
	}
	if !sess.awaitsHeader {
		if r := l.enterSource(sess); !r.IsZero() {
			l.left()
			l.refuse(c, r)
			return
		}
	}
	conn, err := s.engine.EnrollContext(c, sess)
	if err == nil && sess.loop == nil {
		err = errors.New("epoll did not take it") // gnet has closed it and tells nobody
	}
	if err != nil {
		l.left()
		sess.leaveSource()
		s.metrics.acceptErrors.Inc()
		s.log.Warn("handing a connection to a loop", zap.Error(err))
		return
	}
	l.lastFD = uint64(conn.Fd())
	s.metrics.accepted.Inc()
}

// reservedDescriptors are kept for what else needs one: gnet's copy of an
// accepted socket, connections to providers, files.
const reservedDescriptors = 8

// fewDescriptors reports whether the process is about to run out of
// descriptors. They are given out from the lowest number up, so the next one
// tells; it is asked for when the last one was high.
func (l *listener) fewDescriptors(c net.Conn) bool {
	var limit unix.Rlimit // may be changed from outside at any time
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || l.lastFD < limit.Cur/2 {
		return false
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	next := -1
	_ = raw.Control(func(fd uintptr) { next, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil {
		return true
	}
	_ = unix.Close(next)
	return uint64(next)+reservedDescriptors >= limit.Cur
}

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

// refuse says r, where the client does not expect TLS, and closes. The few
// octets fit any new socket's buffer, so this does not wait for the peer.
func (l *listener) refuse(c net.Conn, r codec.Reply) {
	if l.cfg.TLS != TLSImplicit {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write(r.AppendTo(nil))
	}
	_ = c.Close()
}

// refuseWithSpare answers one client with 421 when the process is out of
// descriptors: the spare one makes room for it. It reports whether it did.
func (l *listener) refuseWithSpare(err error) bool {
	if l.spare == nil || !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		return false
	}
	_ = l.spare.Close()
	c, err := l.ln.Accept()
	if err == nil {
		l.refuse(c, codec.ReplyTooManyConnections)
	}
	l.spare, _ = os.Open(os.DevNull)
	return err == nil
}

// dropZone forgets the zone of a link-local address: gnet recycles the bytes
// of that string as a buffer although package net still shares it.
func dropZone(a *net.TCPAddr) { a.Zone = "" }

// socketPair gives two connected stream sockets.
func socketPair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	fa, fb := os.NewFile(uintptr(fds[0]), "pair"), os.NewFile(uintptr(fds[1]), "pair")
	defer fa.Close()
	defer fb.Close()
	if a, err = net.FileConn(fa); err != nil {
		return nil, nil, err
	}
	if b, err = net.FileConn(fb); err != nil {
		_ = a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// halfClose tells the client that nothing more comes, while its input is
// still swallowed: closing with input unread would reset the connection and
// might take the last reply with it.
func (s *session) halfClose() {
	_ = unix.Shutdown(s.conn.Fd(), unix.SHUT_WR)
}
