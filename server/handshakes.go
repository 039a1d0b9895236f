package server

import (
	"container/list"
	"context"
	"errors"
	"runtime/debug"
	"sync"

	"go.uber.org/zap"
)

// maxHandshakes bounds the handshakes under way. It is far above what the cores
// can compute at one time: most of them wait for their client.
const maxHandshakes = 1024

// handshakes has the goroutines of the handshakes under way. When there are too
// many, the oldest gives way: a client that means it is done within a round trip
// or two, so that those that only hold a place do not keep others out.
type handshakes struct {
	limit int
	wg    sync.WaitGroup

	mu    sync.Mutex // guards order
	order list.List  // of *tlsLayer, oldest first
}

// start runs the handshake of l.
func (h *handshakes) start(l *tlsLayer) {
	h.mu.Lock()
	place := h.order.PushBack(l)
	var oldest *tlsLayer
	if h.order.Len() > h.limit {
		oldest = h.order.Remove(h.order.Front()).(*tlsLayer)
	}
	h.mu.Unlock()
	h.wg.Go(func() {
		err := l.handshake()
		h.mu.Lock()
		h.order.Remove(place) // nothing happens when it gave way
		h.mu.Unlock()
		l.s.loop.post(message{kind: msgHandshake, s: l.s, err: err})
	})
	if oldest != nil {
		oldest.s.loop.post(message{kind: msgEvict, s: oldest.s})
	}
}

// errHandshakePanic ends a handshake that panicked.
var errHandshakePanic = errors.New("panic")

// handshake runs the handshake. A panic in it, which would end the process, ends
// this session only.
func (l *tlsLayer) handshake() (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.s.srv.metrics.panics.Inc()
			l.s.srv.log.Error("panic in a handshake, whose session is closed", zap.Uint64("sid", l.s.id),
				zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			err = errHandshakePanic
		}
	}()
	return l.conn.HandshakeContext(context.Background())
}

// underWay is the number of handshakes under way.
func (h *handshakes) underWay() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.order.Len()
}
