package server

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// gnet takes the end of a client's input for the end of the connection. It is not:
// a client may close its sending side when it has said all, and read the answers
// then (RFC 9293 section 3.6), as Exim does after QUIT. So the loop reads from the
// sockets of clients itself. EPOLLRDHUP would not help: gnet drops it from the
// events of a socket at each write that is put off, and registering it takes one
// more call for each connection.

// inputScratch is how much is read from a client at a time, in octets.
const inputScratch = 64 << 10

// serveConn serves one of gnet's connections. An error is what gnet's loop has to
// return.
func (l *loop) serveConn(c unsafe.Pointer, fd int, events uint32) error {
	if s, ok := contextOf(c).(*session); ok {
		l.serveClient(s, c, fd, events)
		return nil
	}
	return processIO(c, fd, events, 0)
}

// serveClient writes to and reads from a client, as far as its socket is ready.
func (l *loop) serveClient(s *session, c unsafe.Pointer, fd int, events uint32) {
	l.enter()
	defer l.leave()
	defer l.recovered(s)
	if events&unix.EPOLLOUT != 0 {
		_ = processIO(c, fd, unix.EPOLLOUT, 0) // closes when it fails
		s.written()
	}
	switch {
	case s.state == stateClosed:
	case s.shut && events&(unix.EPOLLERR|unix.EPOLLHUP) == 0:
		s.ignoreInput() // gnet has asked for it again
	case !s.shut && events&readEvents != 0:
		s.read(fd)
	case events&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		s.lost()
	}
}

// read reads once from the socket.
func (s *session) read(fd int) {
	n, err := unix.Read(fd, s.loop.input)
	switch {
	case n > 0:
		s.take(s.loop.input[:n])
	case err == nil:
		s.shutByClient()
	case err == unix.EAGAIN || err == unix.EINTR:
	default:
		s.lost()
	}
}

// shutByClient is for the end of what comes over the socket. From then on there is
// nothing to wait for there but a reset.
func (s *session) shutByClient() {
	s.shut = true
	s.ignoreInput()
	if s.tls != nil && !s.tls.established {
		s.tls.endInput()
		return
	}
	s.endInput()
}

// ignoreInput keeps an ended input, which can always be read, from waking the loop.
func (s *session) ignoreInput() {
	if !s.interest(0) {
		s.close()
	}
}
