package wait

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// peerPoll is how often Peer looks whether the peer has gone.
const peerPoll = 10 * time.Millisecond

// Peer waits for d, or with 0 without end. It returns false as soon as the peer
// has closed or reset the connection, or done is closed. It does not read: what
// the client sends stays in the socket, as with a server that hangs.
func Peer(c *net.TCPConn, d time.Duration, done <-chan struct{}) bool {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	tick := time.NewTicker(peerPoll)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return true
		case <-done:
			return false
		case <-tick.C:
			if peerGone(c) {
				return false
			}
		}
	}
}

// peerGone reports whether the peer has closed its side.
func peerGone(c *net.TCPConn) bool {
	return poll(c, unix.POLLRDHUP)&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// HasInput reports whether c has something to read.
func HasInput(c *net.TCPConn) bool { return poll(c, unix.POLLIN)&unix.POLLIN != 0 }

// poll returns what poll(2) says of the connection now; POLLNVAL if it is closed.
func poll(c *net.TCPConn, events int16) (revents int16) {
	rc, err := c.SyscallConn()
	if err != nil {
		return unix.POLLNVAL
	}
	err = rc.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		if n, err := unix.Poll(p, 0); err == nil && n > 0 {
			revents = p[0].Revents
		}
	})
	if err != nil {
		return unix.POLLNVAL
	}
	return revents
}
