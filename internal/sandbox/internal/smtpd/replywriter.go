package smtpd

import (
	"net"
	"strings"
	"time"
)

// maxQueuedReplies bounds the groups of replies that wait for their delay on
// one connection; beyond it the session waits too.
const maxQueuedReplies = 256

// replyWriter collects replies and sends them in groups. With a delay, a goroutine
// sends them, and the session goes on meanwhile.
type replyWriter struct {
	conn    net.Conn
	closed  <-chan struct{} // of the server: then delays end
	pending []byte
	delay   time.Duration // of the pending group

	queue chan delayedReplies // nil until the first delay
	done  chan struct{}       // closed when the goroutine ended
}

type delayedReplies struct {
	due     time.Time
	conn    net.Conn
	b       []byte
	drained chan struct{} // if set: only close it
}

// append adds a reply: code and text, '\n' between lines.
func (w *replyWriter) append(text string) { w.pending = appendReply(w.pending, text) }

func appendReply(dst []byte, text string) []byte {
	code, rest := text[:3], text[min(4, len(text)):]
	for {
		line, more, found := strings.Cut(rest, "\n")
		dst = append(dst, code...)
		if !found {
			dst = append(append(append(dst, ' '), line...), "\r\n"...)
			return dst
		}
		dst = append(append(append(dst, '-'), line...), "\r\n"...)
		rest = more
	}
}

// slower makes the pending group wait for at least d.
func (w *replyWriter) slower(d time.Duration) { w.delay = max(w.delay, d) }

// flush sends the pending replies in one write, or queues them.
func (w *replyWriter) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	if w.queue == nil && w.delay == 0 {
		_, err := w.conn.Write(w.pending)
		w.pending = w.pending[:0]
		return err
	}
	if w.queue == nil {
		w.queue, w.done = make(chan delayedReplies, maxQueuedReplies), make(chan struct{})
		go w.send(w.queue, w.done)
	}
	w.queue <- delayedReplies{due: time.Now().Add(w.delay), conn: w.conn, b: append([]byte(nil), w.pending...)}
	w.pending, w.delay = w.pending[:0], 0
	return nil
}

// send writes each group when it is due, in order.
func (w *replyWriter) send(queue <-chan delayedReplies, done chan<- struct{}) {
	defer close(done)
	for r := range queue {
		if r.drained != nil {
			close(r.drained)
			continue
		}
		if d := time.Until(r.due); d > 0 {
			select {
			case <-time.After(d):
			case <-w.closed:
			}
		}
		// The session notices a broken connection when it reads.
		_, _ = r.conn.Write(r.b)
	}
}

// drain waits until all flushed replies are written.
func (w *replyWriter) drain() {
	if w.queue == nil {
		return
	}
	drained := make(chan struct{})
	w.queue <- delayedReplies{drained: drained}
	<-drained
}

// take returns the pending replies and leaves none; valid until the next append.
func (w *replyWriter) take() []byte {
	b := w.pending
	w.pending = w.pending[:0]
	return b
}

// close sends the queued replies and ends the goroutine.
func (w *replyWriter) close() {
	if w.queue != nil {
		close(w.queue)
		<-w.done
	}
}
