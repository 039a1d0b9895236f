package server

import (
	"errors"
	"net"
	"reflect"
	"unsafe"

	_ "github.com/panjf2000/gnet/v2" // has what is linked to
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// gnet takes a socket of ours only as a net.Conn, which costs: package net makes
// the socket known to Go's poller, gnet works with a duplicate of it, and whoever
// accepts waits until the loop has taken each one. That was a fourth of the CPU
// where every message comes over a connection of its own. So the loop does itself
// what gnet does with sockets that it accepts. A test compares these declarations
// with those of the version of gnet that go.mod pins.

//go:linkname newStreamConn github.com/panjf2000/gnet/v2.newStreamConn
func newStreamConn(proto string, fd int, el unsafe.Pointer, sa unix.Sockaddr, localAddr, remoteAddr net.Addr) (c unsafe.Pointer)

//go:linkname setContext github.com/panjf2000/gnet/v2.(*conn).SetContext
func setContext(c unsafe.Pointer, ctx any)

//go:linkname contextOf github.com/panjf2000/gnet/v2.(*conn).Context
func contextOf(c unsafe.Pointer) any

//go:linkname register0 github.com/panjf2000/gnet/v2.(*eventloop).register0
func register0(el, c unsafe.Pointer) error

// errNotTaken: gnet closes a socket that epoll does not take, and tells nobody.
var errNotTaken = errors.New("epoll did not take it")

// register has the loop serve who over a socket: OnOpen is next. A socket that
// epoll does not take is closed.
func (l *loop) register(fd int, who any) error {
	el := reflect.ValueOf(l.events).UnsafePointer()
	c := newStreamConn("tcp", fd, el, nil, nil, nil)
	setContext(c, who)
	return register0(el, c)
}

// open has the loop serve the session over its accepted socket.
func (l *loop) open(s *session) {
	err := l.register(s.accepted, s)
	if s.loop != nil { // an error is that of the greeting: the connection is closed, or soon will be
		return
	}
	l.unopened(s)
	l.srv.metrics.acceptErrors.Inc()
	l.srv.log.Warn("taking a connection", zap.Error(errors.Join(errNotTaken, err)))
}

// unopened counts a session out that the loop did not open, whose socket is closed.
func (l *loop) unopened(s *session) {
	l.gone(s)
	s.leaveSource()
}
