package loop

import (
	"container/list"
	"context"
	"errors"
	"runtime/debug"
	"sync"
)

// maxHandshakes bounds the handshakes of clients under way. It is far above what the
// cores can compute at one time: most of them wait for their client.
const maxHandshakes = 1024

var (
	// ErrGaveWay ends a handshake that gave way to others: too many were under way,
	// and it was the oldest.
	ErrGaveWay = errors.New("too many TLS handshakes, and this was the oldest")
	// ErrNoHandshake ends a handshake whose client ended its input before its first
	// whole record.
	ErrNoHandshake = errors.New("the client left before it began a TLS handshake")
	// errHandshakePanic ends a handshake that panicked.
	errHandshakePanic = errors.New("internal error")
)

// handshakes has the goroutines of the handshakes under way. When there are too many, the
// oldest gives way: an honest client is done within a round trip or two, and clients that
// only hold a place must not keep others out.
type handshakes struct {
	limit int
	wg    sync.WaitGroup

	mu    sync.Mutex // guards order
	order list.List  // of *layer, oldest first
}

// start runs the handshake of t.
func (h *handshakes) start(t *layer) {
	h.mu.Lock()
	place := h.order.PushBack(t)
	var oldest *layer
	if h.order.Len() > h.limit {
		oldest = h.order.Remove(h.order.Front()).(*layer)
	}
	h.mu.Unlock()
	h.wg.Go(func() {
		err := t.handshake()
		h.mu.Lock()
		h.order.Remove(place) // does nothing if the handshake gave way
		h.mu.Unlock()
		t.c.loop.Post(handshakeEnd{t, err})
	})
	if oldest != nil {
		oldest.c.loop.Post(handshakeEnd{oldest, ErrGaveWay})
	}
}

// handshake runs the handshake. A panic in it, which would end the process, ends
// this connection only.
func (t *layer) handshake() (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.c.loop.engine.cfg.panicked(InHandshake, p, debug.Stack())
			err = errHandshakePanic
		}
	}()
	return t.conn.HandshakeContext(context.Background())
}

// underWay is the number of handshakes under way.
func (h *handshakes) underWay() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.order.Len()
}

// Handshakes is the number of handshakes of clients under way. It is safe for use
// on any goroutine.
func (e *Engine) Handshakes() int { return e.handshakes.underWay() }

// LimitHandshakes sets how many handshakes of clients may be under way, in place of
// the default. It is safe for use on any goroutine.
func (e *Engine) LimitHandshakes(n int) {
	e.handshakes.mu.Lock()
	defer e.handshakes.mu.Unlock()
	e.handshakes.limit = n
}

// handshakeEnd tells the loop how a handshake has ended.
type handshakeEnd struct {
	t   *layer
	err error
}

// Run implements Runner.
func (h handshakeEnd) Run() { h.t.c.handshakeDone(h.t, h.err) }

// Failed implements Failer.
func (h handshakeEnd) Failed() { h.t.c.Close() }

// ciphertext is what a handshake writes, on its way to the loop.
type ciphertext struct {
	t *layer
	b []byte
}

// Run implements Runner.
func (w ciphertext) Run() { _ = w.t.c.send(w.b) } // a failure closes
