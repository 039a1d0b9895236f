package loop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// maxHandshakeInput caps what a client sends before its handshake is done, in
// octets: a ClientHello with all its certificates fits well.
const maxHandshakeInput = 64 << 10

// layer is the TLS of one connection, on the standard crypto/tls.
type layer struct {
	c    *Conn // nil until a connection to a provider is adopted
	conn *tls.Conn
	wire wire
	// established is set on the loop when the handshake has succeeded: from then on
	// the loop alone uses conn.
	established bool
	started     bool // the goroutine of the handshake was started
	answered    int  // octets that crypto/tls wrote by itself while others had not left
}

// maxAnswered caps what crypto/tls writes by itself, such as the answers to KeyUpdates, for a
// peer that does not read, in octets.
const maxAnswered = 16 << 10

// wire is the net.Conn below crypto/tls. It has three modes, one after the other:
// blocking I/O on a socket (to a provider, up to its adoption) or input from the
// loop during a handshake (of a client), and then input from the loop without waiting.
type wire struct {
	t   *layer
	tcp *net.TCPConn // blocking; nil: not, or not any more

	mu   sync.Mutex // guards in, shut, gone and cond during the handshake of a client
	cond sync.Cond
	in   []byte // not read by crypto/tls yet; borrowed once established
	shut bool   // nothing more comes
	gone bool   // the connection is closed

	records records // of what was read; used by the goroutine that drives the connection
}

func newLayer() *layer {
	t := new(layer)
	t.wire.t = t
	t.wire.cond.L = &t.wire.mu
	return t
}

// StartTLS puts TLS under the connection, as a server: Secured is next. What came in
// clear before is forgotten. A goroutine runs the handshake from the client's first
// whole record on.
func (c *Conn) StartTLS(cfg *tls.Config) {
	t := newLayer()
	t.c = c
	t.conn = tls.Server(&t.wire, cfg)
	c.tls = t
}

// HasTLS reports whether the connection has TLS. The handshake may still be under way.
func (c *Conn) HasTLS() bool { return c.tls != nil }

// TLSState tells of the handshake; nil if there was none.
func (c *Conn) TLSState() *tls.ConnectionState {
	if c.tls == nil || !c.tls.established {
		return nil
	}
	state := c.tls.conn.ConnectionState()
	return &state
}

// FeedTLS takes ciphertext, of the socket or received before StartTLS. raw is borrowed.
func (c *Conn) FeedTLS(raw []byte) {
	t := c.tls
	if t.established {
		c.pump(raw)
		return
	}
	w := &t.wire
	w.mu.Lock()
	w.in = append(w.in, raw...)
	tooMuch, begins := len(w.in) > maxHandshakeInput, t.started || wholeRecord(w.in)
	w.cond.Signal()
	w.mu.Unlock()
	switch {
	case tooMuch:
		c.Close()
	case begins && !t.started:
		t.started = true
		c.loop.engine.handshakes.start(t)
	}
}

// handshakeDone is called on the loop when the handshake has ended.
func (c *Conn) handshakeDone(t *layer, err error) {
	if c.closed || t.established || c.tls != t {
		return
	}
	if err != nil { // the goroutine may still run: the wire is its own
		c.handler.Secured(err)
		c.Close()
		return
	}
	t.established = true
	left := t.wire.in
	t.wire.in = nil
	c.handler.Secured(nil)
	if !c.closed {
		c.pump(left)
	}
	if c.ended && !c.closed { // FIN came during the handshake
		c.handler.EndOfInput()
	}
}

// pump decrypts raw, and what crypto/tls has read already, and hands it on.
func (c *Conn) pump(raw []byte) {
	t := c.tls
	t.wire.in = raw
	lend(t.conn)
	ended := c.decrypt()
	reclaim(t.conn)
	t.wire.in = nil // borrowed, or from the handshake
	if ended {
		c.endOfInput()
	}
}

// decrypt reads until crypto/tls wants more than there is. ended: close_notify came.
func (c *Conn) decrypt() (ended bool) {
	t := c.tls
	for !c.closed {
		n, err := t.conn.Read(c.loop.plain)
		if n > 0 {
			c.handler.Received(c.loop.plain[:n])
		}
		if err == nil && len(t.wire.in) == 0 { // a record fits plain, and there is no other one
			break
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if errors.Is(err, io.EOF) {
			ended = true
			break
		}
		if err != nil { // the peer broke the protocol: crypto/tls has written an alert
			_ = c.Flush()
			c.Close()
			return false
		}
	}
	// crypto/tls may have written, such as a KeyUpdate. On a closed connection Flush
	// drops it: gathered octets would leave by the next connection.
	own := len(c.loop.cipher)
	_ = c.Flush()
	if t.answered += own; c.Buffered() == 0 {
		t.answered = 0
	} else if own > 0 && t.answered > maxAnswered {
		c.Close()
		return false
	}
	return ended
}

// PartialRecord reports whether the peer has sent a part of a TLS record whose rest
// is still to come.
func (c *Conn) PartialRecord() bool { return c.tls != nil && c.tls.wire.records.partial() }

// drop ends a handshake that is under way, when the connection is gone.
func (t *layer) drop() {
	t.wire.mu.Lock()
	t.wire.gone = true
	t.wire.cond.Signal()
	t.wire.mu.Unlock()
}

// endInput tells a handshake that nothing more comes. The octets that have come may be
// enough for it.
func (t *layer) endInput() {
	t.wire.mu.Lock()
	t.wire.shut = true
	t.wire.cond.Signal()
	t.wire.mu.Unlock()
}

// Read implements net.Conn. On the loop it never waits.
func (w *wire) Read(p []byte) (int, error) {
	switch {
	case w.tcp != nil:
		n, err := w.tcp.Read(p)
		w.records.follow(p[:n])
		return n, err
	case w.t.established:
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

// take copies the input that is there to p, up to the end of a record.
func (w *wire) take(p []byte) int {
	in := w.in[:min(len(p), len(w.in))]
	n := w.records.next(in)
	if n < len(in) && w.records.missing > 0 { // a header: what follows it belongs to it
		n += w.records.next(in[n:])
	}
	copy(p, in[:n])
	w.in = w.in[n:]
	return n
}

// Write implements net.Conn. On a loop it must never fail, since crypto/tls
// remembers a failed write: the ciphertext goes to the loop, which knows whether
// the connection is still there.
func (w *wire) Write(p []byte) (int, error) {
	switch {
	case w.tcp != nil:
		return w.tcp.Write(p)
	case w.t.established:
		out := &w.t.c.loop.cipher
		*out = append(*out, p...)
	default:
		w.t.c.loop.Post(ciphertext{w.t, append([]byte(nil), p...)})
	}
	return len(p), nil
}

// Close implements net.Conn.
func (w *wire) Close() error {
	if w.tcp != nil {
		return w.tcp.Close()
	}
	w.t.drop()
	return nil
}

// LocalAddr implements net.Conn.
func (w *wire) LocalAddr() net.Addr { return noAddr{} }

// RemoteAddr implements net.Conn.
func (w *wire) RemoteAddr() net.Addr { return noAddr{} }

// SetDeadline implements net.Conn: a loop has timers instead.
func (w *wire) SetDeadline(t time.Time) error {
	if w.tcp != nil {
		return w.tcp.SetDeadline(t)
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (w *wire) SetReadDeadline(t time.Time) error {
	if w.tcp != nil {
		return w.tcp.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.tcp != nil {
		return w.tcp.SetWriteDeadline(t)
	}
	return nil
}

// noAddr stands for the addresses of a wire, which have no use.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "" }
