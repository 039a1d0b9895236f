package server

import (
	"golang.org/x/sys/unix"
)

// gnet cannot stop reading from a connection: what a client pipelines while
// its session waits would be read without bound. So we take the socket's read
// events out of the loop's epoll set ourselves, and TCP holds the client back.
// If that fails, too much input ends the session with 421.

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
	if s.shut {
		events = 0
	}
	if s.conn.OutboundBuffered() > 0 {
		events |= unix.EPOLLOUT
	}
	fd := s.conn.Fd()
	return unix.EpollCtl(s.loop.poller.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Fd: int32(fd), Events: events}) == nil
}
