package loop

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Stream is a connection to a provider before a loop adopts it: blocking I/O with
// deadlines, by one goroutine. It implements net.Conn.
type Stream struct {
	*net.TCPConn
	t *layer
}

// NewStream makes a stream of a connected socket, which it owns from then on.
func NewStream(tcp *net.TCPConn) *Stream {
	s := &Stream{TCPConn: tcp, t: newLayer()}
	s.t.wire.tcp = tcp
	return s
}

// StartTLS secures the stream, as a client. An error leaves it of no use.
func (s *Stream) StartTLS(ctx context.Context, cfg *tls.Config) error {
	s.t.conn = tls.Client(&s.t.wire, cfg)
	return s.t.conn.HandshakeContext(ctx)
}

// Read implements net.Conn, through TLS if there is TLS.
func (s *Stream) Read(p []byte) (int, error) {
	if s.t.conn != nil {
		return s.t.conn.Read(p)
	}
	return s.TCPConn.Read(p)
}

// Write implements net.Conn, through TLS if there is TLS.
func (s *Stream) Write(p []byte) (int, error) {
	if s.t.conn != nil {
		return s.t.conn.Write(p)
	}
	return s.TCPConn.Write(p)
}

// SetDeadline implements net.Conn.
func (s *Stream) SetDeadline(t time.Time) error { return s.TCPConn.SetDeadline(t) }

// errNoTLS: a connection to a provider is adopted with TLS only.
var errNoTLS = errors.New("a loop adopts only a connection that has TLS")

// Adopt gives a secured stream to the loop, for life. It owns the stream, of which no
// read or write may be under way. It may be called on any goroutine. The loop calls Opened
// of h, or Closed alone, and then Received with what the peer has sent already. On an
// error Adopt closes the connection and calls nothing of h.
func (l *Loop) Adopt(s *Stream, h Handler) error {
	if s.t.conn == nil {
		return errors.Join(errNoTLS, s.Close())
	}
	fd, err := duplicate(s.TCPConn) // the descriptor of s is known to Go's poller
	cerr := s.TCPConn.Close()
	if err != nil {
		return errors.Join(err, cerr)
	}
	t := &taking{conn: Conn{loop: l, handler: h, toProvider: true, tls: s.t}, fd: fd}
	if !l.Post(t) {
		_ = unix.Close(fd)
		return ErrEnded
	}
	return nil
}
