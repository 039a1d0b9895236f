package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
)

const (
	// maxHandshakeInput caps what a client sends before its handshake is
	// done, in octets: a ClientHello with all its certificates fits well.
	maxHandshakeInput = 64 << 10
	// plainScratch is how much of a decrypted record is handed on at a time:
	// one record (RFC 8446 section 5.1).
	plainScratch = 16 << 10
)

// tlsLayer is the TLS of one session, on the standard crypto/tls. While the
// handshake runs, which takes a signature and so too long for a loop, a
// goroutine drives it; after that the loop drives the connection, with "no
// more input" told to crypto/tls as an expired read deadline, which by its
// contract is not sticky. No goroutine remains.
type tlsLayer struct {
	s    *session
	conn *tls.Conn
	wire tlsWire
	// established is set on the loop when the handshake has succeeded.
	established bool
	started     bool // the goroutine was started
	upgraded    bool // by STARTTLS: the client was greeted before
}

// tlsWire is the net.Conn below crypto/tls.
type tlsWire struct {
	l *tlsLayer

	mu   sync.Mutex // guards the three below during the handshake
	cond sync.Cond
	in   []byte // not read by crypto/tls yet; borrowed once established
	gone bool

	out []byte // ciphertext to be written by the loop, once established
}

// startTLS puts TLS under the session. The handshake goroutine waits for the
// first octets of the client.
func (s *session) startTLS() {
	l := &tlsLayer{s: s}
	l.wire.l = l
	l.wire.cond.L = &l.wire.mu
	l.conn = tls.Server(&l.wire, s.srv.cfg.TLS)
	l.upgraded = s.state == stateHandshake // entered with the reply to STARTTLS
	s.tls = l
	s.enter(stateHandshake)
}

// feedTLS takes octets from the wire.
func (s *session) feedTLS(raw []byte) {
	l := s.tls
	if l.established {
		l.wire.in = raw
		s.pump()
		return
	}
	w := &l.wire
	w.mu.Lock()
	w.in = append(w.in, raw...)
	tooMuch := len(w.in) > maxHandshakeInput
	w.cond.Signal()
	w.mu.Unlock()
	switch {
	case tooMuch:
		s.close()
	case !l.started:
		l.started = true
		s.srv.handshakes.start(l)
	}
}

// pump decrypts what there is and feeds it to the session.
func (s *session) pump() {
	l := s.tls
	for s.state != stateClosed {
		n, err := l.conn.Read(s.loop.plain)
		if n > 0 {
			s.feed(s.loop.plain[:n])
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil { // close_notify, or the peer broke the protocol
			_ = s.writeWire()
			s.close()
			return
		}
	}
	_ = s.writeWire() // what crypto/tls itself had to say, such as a KeyUpdate
}

// writeTLS encrypts b and writes it.
func (s *session) writeTLS(b []byte) error {
	if _, err := s.tls.conn.Write(b); err != nil {
		return err
	}
	return s.writeWire()
}

// closeTLS tells the client that nothing more comes (RFC 8446 section 6.1).
func (s *session) closeTLS() {
	_ = s.tls.conn.CloseWrite() // writes to memory only
	_ = s.writeWire()
}

// writeWire writes the ciphertext gathered so far. It may run OnClose.
func (s *session) writeWire() error {
	out := s.tls.wire.out
	s.tls.wire.out = out[:0]
	if len(out) == 0 || s.state == stateClosed {
		return nil
	}
	_, err := s.conn.Write(out)
	return err
}

// handshakeDone is called on the loop when the handshake has ended.
func (s *session) handshakeDone(err error) {
	if s.state != stateHandshake {
		return
	}
	if err != nil {
		s.srv.metrics.handshakeFailed.Inc()
		s.srv.log.Debug("TLS handshake failed", zap.Uint64("sid", s.id), zap.Error(err))
		s.close()
		return
	}
	s.srv.metrics.handshakeOK.Inc()
	l := s.tls
	l.established = true
	left := l.wire.in
	l.wire.in = nil
	// What was said in clear is forgotten (RFC 3207 section 4.2).
	if l.upgraded {
		s.enter(stateHello)
	} else {
		s.greet()
	}
	s.flush()
	if s.state != stateClosed {
		l.wire.in = left
		s.pump()
	}
}

// drop ends a handshake that is under way, when the connection is gone.
func (l *tlsLayer) drop() {
	l.wire.mu.Lock()
	l.wire.gone = true
	l.wire.cond.Signal()
	l.wire.mu.Unlock()
}

// Read implements net.Conn. On the loop it never waits.
func (w *tlsWire) Read(p []byte) (int, error) {
	if w.l.established {
		if len(w.in) == 0 {
			return 0, os.ErrDeadlineExceeded
		}
		n := copy(p, w.in)
		w.in = w.in[n:]
		return n, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.in) == 0 && !w.gone {
		w.cond.Wait()
	}
	if w.gone {
		return 0, net.ErrClosed
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

// Write implements net.Conn. It must never fail, since crypto/tls remembers a
// failed write: the ciphertext goes to the loop, which knows whether the
// connection is still there.
func (w *tlsWire) Write(p []byte) (int, error) {
	if w.l.established {
		w.out = append(w.out, p...)
	} else {
		w.l.s.loop.post(message{kind: msgWire, s: w.l.s, wire: append([]byte(nil), p...)})
	}
	return len(p), nil
}

// Close implements net.Conn.
func (w *tlsWire) Close() error { w.l.drop(); return nil }

// LocalAddr implements net.Conn.
func (w *tlsWire) LocalAddr() net.Addr { return noAddr{} }

// RemoteAddr implements net.Conn.
func (w *tlsWire) RemoteAddr() net.Addr { return noAddr{} }

// SetDeadline implements net.Conn; the wheel keeps the deadlines.
func (w *tlsWire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (w *tlsWire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (w *tlsWire) SetWriteDeadline(time.Time) error { return nil }

// noAddr stands for the address of a wire: nobody asks for it.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "" }

// handshakes bounds how many handshakes compute at one time; the others wait
// their turn, with their input buffered.
type handshakes struct {
	wg sync.WaitGroup

	mu      sync.Mutex // guards the two below
	running int
	queue   []*tlsLayer
}

// maxHandshakes is far above what the cores can compute at one time: most of
// these wait for their client, each for handshakeTimeout at most.
const maxHandshakes = 1024

// start runs the handshake of l, now or as soon as another one ends.
func (h *handshakes) start(l *tlsLayer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running >= maxHandshakes {
		h.queue = append(h.queue, l)
		return
	}
	h.running++
	h.wg.Add(1)
	go h.run(l)
}

// run drives the handshake of l, then those of others that wait.
func (h *handshakes) run(l *tlsLayer) {
	defer h.wg.Done()
	for l != nil {
		err := l.conn.HandshakeContext(context.Background())
		l.s.loop.post(message{kind: msgHandshake, s: l.s, err: err})
		l = h.next()
	}
}

func (h *handshakes) next() (l *tlsLayer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) > 0 {
		l, h.queue = h.queue[0], h.queue[1:]
	} else {
		h.running--
	}
	return l
}

// onSTARTTLS begins TLS (RFC 3207). Whatever the client sent in clear behind
// the command must not be read as commands later on: that ends the session
// (CVE-2011-0411).
func (s *session) onSTARTTLS(args []byte) (codec.Reply, state) {
	switch {
	case s.tls == nil && !s.listener.cfg.TLS.offered():
		return codec.ReplyNotImplemented, s.state
	case s.tls != nil || s.state != stateUnauth:
		return codec.ReplyBadSequence, s.state
	case len(args) > 0:
		return codec.ReplyBadArgs, s.state
	case len(s.behind) > 0:
		return codec.ReplyPipelinedTLS, stateLinger
	}
	return codec.ReplyStartTLS, stateHandshake
}
