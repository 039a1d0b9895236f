package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/codec"
)

// listener is one open listening socket. The server accepts itself: gnet's
// own acceptor ends the whole engine on EMFILE and the like.
type listener struct {
	cfg   Listener
	ln    net.Listener
	spare *os.File // a descriptor to give up when there are none left

	ehloClear, ehloTLS codec.Reply // what EHLO is answered before and after TLS
}

// advertise prepares the EHLO replies (RFC 5321 section 4.1.1.1).
func (l *listener) advertise(cfg *Config) {
	keywords := fmt.Sprintf("%s\nPIPELINING\nSIZE %d\n8BITMIME\nSMTPUTF8\nCHUNKING\nENHANCEDSTATUSCODES", cfg.Hostname, cfg.MaxMessageSize)
	const auth = "\nAUTH PLAIN LOGIN"
	l.ehloTLS = codec.Reply{Code: 250, Text: keywords + auth}
	l.ehloClear = l.ehloTLS
	switch l.cfg.TLS {
	case TLSOffered:
		l.ehloClear.Text = keywords + "\nSTARTTLS" + auth
	case TLSRequired:
		l.ehloClear.Text = keywords + "\nSTARTTLS"
	}
}

func (s *Server) listen() error {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 20 * time.Second, Count: 3}}
	for _, cfg := range s.cfg.Listeners {
		ln, err := lc.Listen(context.Background(), "tcp", cfg.Address)
		if err != nil {
			s.closeListeners()
			return fmt.Errorf("server: %w", err)
		}
		spare, _ := os.Open(os.DevNull) // without it, EMFILE is only waited out
		l := &listener{cfg: cfg, ln: ln, spare: spare}
		l.advertise(&s.cfg)
		s.listeners = append(s.listeners, l)
	}
	return nil
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
func (s *Server) accept(l *listener) {
	defer s.running.Done()
	defer func() { _ = l.spare.Close() }()
	for {
		c, err := l.ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.metrics.acceptErrors.Inc()
			s.log.Warn("accepting a connection", zap.Stringer("listener", l.ln.Addr()), zap.Error(err))
			if !l.refuseWithSpare(err) {
				time.Sleep(acceptPause)
			}
			continue
		}
		s.admit(l, c)
	}
}

// admit makes a session of c, or says with 421 why not.
func (s *Server) admit(l *listener, c net.Conn) {
	if !l.allows(c.RemoteAddr()) {
		s.metrics.notAllowed.Inc()
		refuse(c, replyNotAllowed)
		return
	}
	if s.active.Add(1) > int64(s.cfg.MaxConnections) {
		s.left()
		s.metrics.overCap.Inc()
		refuse(c, codec.ReplyTooManyConnections)
		return
	}
	dropZone(c.LocalAddr())
	dropZone(c.RemoteAddr())
	sess := &session{srv: s, listener: l, id: s.nextID.Add(1), remote: c.RemoteAddr().String()}
	if _, err := s.engine.EnrollContext(c, sess); err != nil {
		s.left()
		s.metrics.acceptErrors.Inc()
		s.log.Warn("handing a connection to a loop", zap.Error(err))
		return
	}
	if sess.loop == nil { // epoll did not take it; gnet has closed it and tells nobody
		s.left()
		s.metrics.acceptErrors.Inc()
		return
	}
	s.metrics.accepted.Inc()
}

// left counts a session out.
func (s *Server) left() {
	if s.active.Add(-1) == 0 {
		select {
		case s.empty <- struct{}{}:
		default:
		}
	}
}

// allows reports whether the peer may connect.
func (l *listener) allows(peer net.Addr) bool {
	if len(l.cfg.Allow) == 0 {
		return true
	}
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, p := range l.cfg.Allow {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// refuse says r and closes. The few octets fit any new socket's buffer, so
// this does not wait for the peer.
func refuse(c net.Conn, r codec.Reply) {
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Write(r.AppendTo(nil))
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
		refuse(c, codec.ReplyTooManyConnections)
	}
	l.spare, _ = os.Open(os.DevNull)
	return err == nil
}

// dropZone forgets the zone of a link-local address: gnet recycles the bytes
// of that string as a buffer although package net still shares it.
func dropZone(a net.Addr) {
	if tcp, ok := a.(*net.TCPAddr); ok {
		tcp.Zone = ""
	}
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
// still swallowed: closing with input unread would reset the connection and
// might take the last reply with it.
func (s *session) halfClose() {
	_ = unix.Shutdown(s.conn.Fd(), unix.SHUT_WR)
}
