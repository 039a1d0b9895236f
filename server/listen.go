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

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/password"
)

// listener is one open listening socket. The loops accept from it themselves:
// gnet's own acceptor ends the whole engine on EMFILE and the like.
type listener struct {
	srv    *Server
	cfg    Listener
	socket taker
	loops  atomic.Int32 // that accept from it

	spareMu sync.Mutex
	spare   *os.File // a descriptor to give up when there are none left

	policy password.Policy

	offer atomic.Pointer[offer]

	active atomic.Int64 // sessions

	mu      sync.Mutex // guards sources
	sources map[netip.Addr]int
}

func (s *Server) listen() error {
	var fromSystemd passed
	defer fromSystemd.close()
	for _, cfg := range s.cfg.Listeners {
		l, err := s.newListener(cfg, &fromSystemd)
		if err != nil {
			s.closeListeners()
			return fmt.Errorf("server: %w", err)
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

func (s *Server) newListener(cfg Listener, fromSystemd *passed) (*listener, error) {
	ln, err := open(cfg.Address, fromSystemd)
	if err != nil {
		return nil, err
	}
	path, isUnix := strings.CutPrefix(cfg.Address, "unix:")
	if !isUnix {
		path = ""
	}
	socket, err := newSocket(ln, path)
	if err != nil {
		return nil, err
	}
	spare, _ := os.Open(os.DevNull) // without it, EMFILE is only waited out
	l := &listener{srv: s, cfg: cfg, socket: socket, spare: spare, policy: cfg.Passwords, sources: make(map[netip.Addr]int)}
	if l.policy == "" {
		l.policy = password.PolicyAny
	}
	return l, nil
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
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) error { return prepareAccepted(raw) }}
	return lc.Listen(context.Background(), "tcp", address)
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
	if tcp, ok := found[0].(*net.TCPListener); ok {
		raw, err := tcp.SyscallConn()
		if err == nil {
			err = prepareAccepted(raw)
		}
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.ENOPROTOOPT) {
			_ = tcp.Close()
			return nil, err
		}
	}
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

// closeListeners closes sockets that no loop accepts from.
func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.socket.close()
		_ = l.spare.Close()
	}
}

// leave is for a loop that accepts no more: the last one closes the socket.
func (l *listener) leave() {
	if l.loops.Add(-1) == 0 {
		_ = l.socket.close()
		_ = l.spare.Close()
		l.srv.accepting.Done()
	}
}

// admit makes a session of a socket that the loop on has accepted, or says with
// 421 why not.
func (l *listener) admit(on *loop, fd int, remote netip.AddrPort) {
	s := l.srv
	s.learn(s.accounts.Load()) // in time for what the session will ask for
	sess := &session{srv: s, listener: l, id: s.nextID.Add(1), accepted: fd, remote: "unix"}
	if remote.IsValid() {
		sess.remote = remote.String()
		sess.source = remote.Addr()
		sess.awaitsHeader = contains(l.cfg.ProxyFrom, sess.source)
	}
	total, here := s.active.Add(1), l.active.Add(1)
	if total > int64(s.cfg.MaxConnections) || l.cfg.MaxConnections > 0 && here > int64(l.cfg.MaxConnections) || fewDescriptors(fd) {
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
	next := on.placeFor()
	next.clients.Add(1)
	opening := message{kind: msgOpen, s: sess}
	if next == on {
		on.enter()
		on.handle(&opening)
		on.leave()
		return
	}
	if !next.post(opening) { // the loops have ended
		_ = unix.Close(fd)
		next.unopened(sess)
	}
}

// reservedDescriptors are kept for what else needs one: connections to providers,
// files.
const reservedDescriptors = 8

// fewDescriptors reports whether the process, which has just been given fd, is about
// to run out of descriptors. They are given out from the lowest number up, so the
// next one tells; it is asked for when this one is high.
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
func (l *listener) refuse(fd int, r codec.Reply) {
	if l.cfg.TLS != TLSImplicit {
		_, _ = unix.Write(fd, r.AppendTo(nil))
	}
	_ = unix.Close(fd)
}

// refuseWithSpare answers one client with 421 when the process is out of
// descriptors: the spare one makes room for it. It reports whether it did.
func (l *listener) refuseWithSpare(err error) bool {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		return false
	}
	l.spareMu.Lock()
	defer l.spareMu.Unlock()
	if l.spare == nil { // another loop was faster, or had been
		l.spare, _ = os.Open(os.DevNull)
		return false
	}
	_ = l.spare.Close()
	fd, _, err := l.socket.take()
	if err == nil {
		l.refuse(fd, codec.ReplyTooManyConnections)
	}
	l.spare, _ = os.Open(os.DevNull)
	return err == nil
}

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
// still swallowed.
func (s *session) halfClose() {
	_ = unix.Shutdown(s.conn.Fd(), unix.SHUT_WR)
}
