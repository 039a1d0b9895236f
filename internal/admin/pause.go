package admin

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a listening socket, of TCP or a unix socket.
type socket interface {
	net.Listener
	syscall.Conn
}

// listen returns the inherited socket of that name, or the one that open opens.
func (s *Server) listen(name string, open func() (net.Listener, error)) (socket, error) {
	ln, ok := s.cfg.Inherited[name]
	if delete(s.cfg.Inherited, name); !ok {
		var err error
		if ln, err = open(); err != nil {
			return nil, err
		}
	}
	return ln.(socket), nil // of package net, both are
}

// closeInherited closes the sockets that were not taken.
func (s *Server) closeInherited() {
	for _, ln := range s.cfg.Inherited {
		_ = ln.Close()
	}
}

// Duplicates calls add with a duplicate of each listening socket, which add owns, and what the
// configuration calls it: the address first.
func (s *Server) Duplicates(add func(name string, fd int)) error {
	for _, l := range s.listeners {
		f, err := duplicate(l.socket)
		if err != nil {
			return err
		}
		add(l.name, f)
	}
	return nil
}

// duplicate returns a duplicate of the descriptor.
func duplicate(of syscall.Conn) (fd int, err error) {
	raw, err := of.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(from uintptr) {
		fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, errors.Join(cerr, os.NewSyscallError("fcntl", err))
}

// Pause leaves the listening sockets to another process that has duplicates of them, until
// Resume: nothing is accepted, and connections end after their request. On an error nothing
// has changed.
func (s *Server) Pause() error {
	spares := make([]socket, len(s.listeners))
	for i, l := range s.listeners {
		fd, err := duplicate(l.socket)
		if err == nil {
			spares[i], err = fromFD(fd)
		}
		if err != nil {
			return fmt.Errorf("cannot duplicate the socket of %s: %w", l.name, err)
		}
	}
	for i, l := range s.listeners {
		if u, ok := l.socket.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		_ = l.socket.Close() // its accept loop ends
		l.socket = spares[i]
	}
	s.mu.Lock()
	s.paused = true
	s.mu.Unlock()
	s.closeConns(false)
	return nil
}

// fromFD makes a listening socket of a descriptor, which it owns. Close leaves the file of a
// unix socket.
func fromFD(fd int) (socket, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return ln.(socket), nil
}

// Resume ends Pause, if there was one.
func (s *Server) Resume() {
	s.mu.Lock()
	if !s.paused {
		s.mu.Unlock()
		return
	}
	s.paused = false
	s.mu.Unlock()
	for _, l := range s.listeners {
		if u, ok := l.socket.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(true)
		}
		s.accept(l)
	}
}
