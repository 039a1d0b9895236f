package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/durable"
)

const (
	// maxSocketPath is the length of the longest path of a socket in octets
	// (sun_path in unix(7), without the octet that ends it).
	maxSocketPath = 107
	// socketMode lets the owner and root connect.
	socketMode = 0o600
	// lockPatience is how long to wait for another process that has locked the
	// directory of the socket.
	lockPatience = 5 * time.Second
	// dialTimeout bounds finding out whether another process listens.
	dialTimeout = time.Second
)

// ErrSocketInUse: another process listens on the admin socket.
var ErrSocketInUse = errors.New("another process listens there: is a proxy running with these files? Else give each proxy an admin.socket of its own")

// listenOnSocket listens on the first of cfg.Sockets that can be made. It fails if another
// process has one of them. If none can be made, it fails when cfg.SocketNeeded is set, and
// else logs why.
func (s *Server) listenOnSocket() (socket, error) {
	var errs []error
	for _, path := range s.cfg.Sockets {
		ln, err := s.listen(path, func() (net.Listener, error) { return listenSocket(path) })
		if err == nil {
			s.socket = path
			return ln, nil
		}
		err = fmt.Errorf("admin.socket: %s: %w", path, err)
		if errors.Is(err, ErrSocketInUse) {
			return nil, err
		}
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if s.cfg.SocketNeeded {
		return nil, err
	}
	if err != nil {
		s.log.Error("cannot make the admin socket: commands for a running proxy do not find this one, and without admin.token nothing can be changed by the admin API; "+
			"set admin.socket or state_dir", zap.Error(err))
	}
	return nil, nil
}

// SocketPath is where the admin socket is, after Start; "" if there is none.
func (s *Server) SocketPath() string { return s.socket }

// listenSocket makes a socket that its owner and root can connect to. It replaces a socket
// whose process has ended.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path of a socket has at most %d octets, this one has %d", maxSocketPath, len(path))
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error // the file gets the mode that the socket has when it is bound
		if controlErr := raw.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), socketMode) }); controlErr != nil {
			return controlErr
		}
		return err
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, bareError(err)
	}
	return ln, nil
}

// lockDir keeps other processes from making sockets in dir, until unlock is
// called.
func lockDir(dir string) (unlock func(), err error) {
	unlock, err = durable.LockDir(dir, lockPatience)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, bareError(err)
	} else if err != nil {
		return nil, fmt.Errorf("cannot lock the directory: %w", err)
	}
	return unlock, nil
}

// removeStale removes a socket that no process listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return bareError(err)
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is something else of that name, which is no socket")
	}
	c, err := net.DialTimeout("unix", path, dialTimeout)
	switch {
	case err == nil:
		_ = c.Close()
		return ErrSocketInUse
	case errors.Is(err, syscall.EAGAIN): // a process listens, its backlog is full
		return ErrSocketInUse
	case errors.Is(err, syscall.ECONNREFUSED):
		return bareError(os.Remove(path))
	}
	return bareError(err)
}

// bareError drops what package net and os put around an error: the caller names
// the path.
func bareError(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err
}

// localConn is a connection of the admin socket.
type localConn struct {
	net.Conn
	uid     uint32 // of the process at the other end when it connected
	allowed bool   // it is root's, or our own user's
}

// newLocalConn finds out the user of the peer.
func newLocalConn(c *net.UnixConn) (*localConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *syscall.Ucred
	if controlErr := raw.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); controlErr != nil {
		return nil, controlErr
	}
	if err != nil {
		return nil, err
	}
	return &localConn{Conn: c, uid: peer.Uid, allowed: peer.Uid == 0 || int(peer.Uid) == os.Geteuid()}, nil
}
