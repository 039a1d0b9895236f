package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/tlsmemory"
)

const (
	// maxHandshakeInput caps what a client sends before its handshake is
	// done, in octets: a ClientHello with all its certificates fits well.
	maxHandshakeInput = 64 << 10
	// plainScratch is how much of a decrypted record is handed on at a time:
	// one record (RFC 8446 section 5.1).
	plainScratch = maxRecord
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

	mu   sync.Mutex // guards the four below during the handshake
	cond sync.Cond
	in   []byte // not read by crypto/tls yet; borrowed once established
	gone bool
	shut bool // nothing more comes

	records records // of what was read; used by whoever drives the connection
}

// startTLS puts TLS under the session. The handshake goroutine waits for the
// first record of the client.
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
	if s.ended { // after a close_notify (RFC 8446 section 6.1)
		return
	}
	if l.established {
		l.wire.in = raw
		s.pump()
		return
	}
	w := &l.wire
	w.mu.Lock()
	w.in = append(w.in, raw...)
	tooMuch, begins := len(w.in) > maxHandshakeInput, l.started || wholeRecord(w.in)
	w.cond.Signal()
	w.mu.Unlock()
	switch {
	case tooMuch:
		s.close()
	case begins && !l.started:
		l.started = true
		s.srv.handshakes.start(l)
	}
}

// pump decrypts what there is and feeds it to the session.
func (s *session) pump() {
	l := s.tls
	tlsmemory.Lend(l.conn)
	s.decrypt()
	tlsmemory.Reclaim(l.conn)
	l.wire.in = nil // borrowed, or from the handshake
}

// decrypt reads until crypto/tls wants more than there is.
func (s *session) decrypt() {
	l := s.tls
	for s.state != stateClosed {
		n, err := l.conn.Read(s.loop.plain)
		if n > 0 {
			s.feed(s.loop.plain[:n])
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err == io.EOF { // close_notify: we may still write, in TLS 1.2 too
			s.endInput()
			break
		}
		if err != nil { // the peer broke the protocol
			s.closeTLS()
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
	out := s.loop.cipher
	s.loop.cipher = out[:0]
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
	if s.shut {
		s.endInput()
	}
}

// endInput is for when the client ends its input before the handshake is done. What
// has come may be enough for it.
func (l *tlsLayer) endInput() {
	if !l.started {
		l.s.close()
		return
	}
	l.wire.mu.Lock()
	l.wire.shut = true
	l.wire.cond.Signal()
	l.wire.mu.Unlock()
}

// evicted ends a session whose handshake gives way to others.
func (s *session) evicted() {
	if s.state == stateHandshake {
		s.srv.metrics.evicted.Inc()
		s.close()
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
		return w.take(p), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.in) == 0 && !w.gone && !w.shut {
		w.cond.Wait()
	}
	switch {
	case w.gone:
		return 0, net.ErrClosed
	case len(w.in) == 0:
		return 0, io.EOF
	}
	return w.take(p), nil
}

// take gives what is there, up to the end of a record.
func (w *tlsWire) take(p []byte) int {
	n := copy(p, w.in[:w.records.next(w.in[:min(len(p), len(w.in))])])
	w.in = w.in[n:]
	return n
}

// Write implements net.Conn. It must never fail, since crypto/tls remembers a
// failed write: the ciphertext goes to the loop, which knows whether the
// connection is still there.
func (w *tlsWire) Write(p []byte) (int, error) {
	if w.l.established {
		out := &w.l.s.loop.cipher
		*out = append(*out, p...)
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
