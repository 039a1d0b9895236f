package server

import (
	"reflect"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// gnet cannot stop reading from a connection: what a client pipelines while
// its session waits would be read without bound. So we take the socket's read
// events out of the loop's epoll set ourselves, and TCP holds the client back.
// The epoll descriptor is not exported; a test shows that it is found in the
// version of gnet that go.mod pins, and if it is not, too much input ends the
// session with 421.

// epollOf finds the epoll descriptor of the loop of c, -1 if it cannot.
func epollOf(c gnet.Conn) int {
	v := reflect.ValueOf(c)
	for _, field := range []string{"loop", "poller", "fd"} {
		if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return -1
		}
		if v = v.Elem().FieldByName(field); !v.IsValid() {
			return -1
		}
	}
	if v.Kind() != reflect.Int {
		return -1
	}
	return int(v.Int())
}

// readEvents are those that gnet registers, as netpoll.ReadEvents has them.
const readEvents = unix.EPOLLIN | unix.EPOLLPRI

// pause stops reading from the client. It reports whether it could. It is to
// be repeated when input comes all the same: gnet reads on by itself once it
// has written out what it had to.
func (s *session) pause() bool {
	if !s.interest(0) {
		return false
	}
	if !s.paused {
		s.paused = true
		s.srv.metrics.pauses.Inc()
	}
	return true
}

// unpause reads on.
func (s *session) unpause() {
	if s.paused && s.interest(readEvents) {
		s.paused = false
	}
}

// interest sets the read events; those for writing stay while gnet has
// something to write. Errors and hang-ups are always reported.
func (s *session) interest(events uint32) bool {
	if s.loop.epoll < 0 {
		return false
	}
	if s.conn.OutboundBuffered() > 0 {
		events |= unix.EPOLLOUT
	}
	fd := s.conn.Fd()
	return unix.EpollCtl(s.loop.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Fd: int32(fd), Events: events}) == nil
}
