package server

import (
	"bytes"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"xoauth2-proxy/codec"
)

// gnet takes the end of a client's input for the end of the connection. It is not:
// a client may close its sending side when it has said all, and read the answers
// then (RFC 9293 section 3.6). So the loop reads from the sockets of clients
// itself. To register EPOLLRDHUP would not do: gnet leaves it out whenever it has
// written out what it had to, and it would cost a call for each connection.

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

// endInput is for when the client has said all that it will say, by closing its
// sending side or by a close_notify. What it has said is carried out and answered,
// unless it gave up waiting; flush closes behind the last answer.
func (s *session) endInput() {
	if s.ended || s.state == stateClosed {
		return
	}
	s.ended = true
	if s.gaveUp() {
		s.abandon()
	}
	s.flush()
}

// lost is for when the client is gone: it will read no answer.
func (s *session) lost() {
	s.broken = true
	if s.gaveUp() {
		s.abandon()
	}
	s.close()
}

// patienceOfClients is the time behind the end of a message within which the end
// of input is that of a client that sends all at once and then reads, not of one
// that no longer waits.
const patienceOfClients = time.Second

// gaveUp reports whether a client whose input ends now waits for no answer any
// more, and so will send its message again: it has not said QUIT, and has been
// silent for a while since the end of its message.
func (s *session) gaveUp() bool {
	last := s.heard
	if s.state == stateAwaitUpstream {
		last = s.t.complete
	}
	return s.loop.clock-last > patienceOfClients && !s.saidQuit()
}

// saidQuit reports whether QUIT is the last line of the input that waits.
func (s *session) saidQuit() bool {
	if s.in == nil || !bytes.HasSuffix(s.in.B, []byte("\r\n")) {
		return false
	}
	before := s.in.B[:len(s.in.B)-2]
	cmd, _, err := codec.ParseCommand(s.in.B[bytes.LastIndexByte(before, '\n')+1:])
	return err == nil && cmd.Verb == codec.VerbQUIT
}

// abandon forgets what the client has asked for, as far as it was not begun.
func (s *session) abandon() {
	if s.t.relayed != nil {
		s.t.relayed.Abandon()
	}
	if s.in != nil {
		codec.PutBuffer(s.in)
		s.in = nil
	}
}
