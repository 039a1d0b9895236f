package server

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/upstream"
)

// loop is our side of one gnet event loop. Everything but the mailbox
// belongs to the loop's goroutine.
type loop struct {
	srv    *Server
	events gnet.EventLoop
	poller poller
	part   *watchdog.Part // has work from a tick's posting until it is handled

	out      []byte // replies of the session that is being served
	sasl     []byte // scratch for one decoded SASL message
	plain    []byte // scratch for what one session decrypts
	cipher   []byte // what crypto/tls has to write for the session that is being served
	wheel    wheel
	input    []byte        // what was read from the session's socket
	ticks    int64         // since start; the clock of the wheel
	clock    time.Duration // since start, when the loop last woke
	sessions map[*session]struct{}
	clients  atomic.Int64 // sessions, those too that are still to be opened
	draining bool
	depth    int       // callbacks of gnet that are running, one inside the other
	deferred []message // for when they are over

	callbacks uint64      // so far
	yielded   time.Time   // when the scheduler had its last turn; see yield
	listeners []*listener // accepted from
	knocked   []*listener // at which somebody waits
	ready     [128]unix.EpollEvent
	looked    time.Time // see Looked
	providers []bool    // by descriptor: whether it is a connection to a provider

	mu        sync.Mutex // guards the mailbox: box, scheduled and stopped
	stopped   bool       // takes no more messages
	box       []message
	scheduled bool
	spare     []message
}

// message is what other goroutines post to a loop.
type message struct {
	kind    messageKind
	s       *session
	tx      *upstream.Transaction
	res     upstream.Result
	err     error
	at      time.Time
	wire    []byte
	verdict password.Result
	run     upstream.Runner

	listener *listener
	watching *watching
}

type messageKind uint8

const (
	msgComplete   messageKind = iota // the relay is done with tx
	msgRecipients                    // the upstream answered the recipients of tx
	msgPassword                      // the slow hash of a login is computed: verdict
	msgToken                         // the token of s.joining is there, or err
	msgTick                          // one tick has passed; at tells when
	msgDrain                         // end idle sessions, and the others as they get idle
	msgKill                          // close every session
	msgWire                          // write this ciphertext of a handshake
	msgHandshake                     // the handshake has ended
	msgEvict                         // there are too many handshakes, and this is the oldest
	msgRun                           // do run
	msgOpen                          // serve s over the socket that was accepted
	msgListen                        // accept from listener as well
	msgHear                          // accept again
	msgWatch                         // take over the connection to a provider that is in watching
)

// post puts m into the mailbox. The loop is woken once for all messages that
// arrive before it looks. It reports whether the loop will see the message.
func (l *loop) post(m message) bool {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return false
	}
	l.box = append(l.box, m)
	if l.scheduled {
		l.mu.Unlock()
		return true
	}
	l.scheduled = true
	l.mu.Unlock()
	if err := l.events.Execute(context.Background(), l); err != nil { // the engine has ended: stop sees to it
		l.srv.log.Warn("waking a loop", zap.Error(err))
	}
	return true
}

// close refuses further messages. The loop still comes to those that are there,
// unless it cannot be woken.
func (l *loop) close() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
}

// discard releases what the messages hold that an ended loop has not come to.
func (l *loop) discard() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.box {
		switch {
		case m.kind == msgOpen:
			_ = unix.Close(m.s.accepted)
			l.unopened(m.s)
		case m.kind == msgWatch:
			_ = unix.Close(m.watching.fd)
			m.watching.done <- errEnded
		case m.tx != nil:
			l.srv.metrics.lostReplies.Inc()
			m.tx.Release()
		}
	}
	l.box = nil
}

// gone counts a session of the loop out.
func (l *loop) gone(s *session) {
	l.clients.Add(-1)
	s.listener.left()
}

// later has m handled behind the callback that is running, so that a session
// that is being served is not served again inside that. It is for the loop.
func (l *loop) later(m message) { l.deferred = append(l.deferred, m) }

// enter and leave enclose each callback of gnet.
func (l *loop) enter() { l.depth++ }

func (l *loop) leave() {
	if l.depth == 1 && len(l.deferred) > 0 {
		for i := 0; i < len(l.deferred); i++ { // handling one may add more
			m := l.deferred[i]
			l.handle(&m)
		}
		clear(l.deferred)
		l.deferred = l.deferred[:0]
	}
	l.depth--
	if l.callbacks++; l.callbacks%16 == 0 {
		l.yield(time.Now())
	}
}

// longTurn is how long a loop runs before it lets the scheduler have its turn,
// below the 10 ms after which Go's monitor takes steps: it would interrupt
// the loop by a signal, hand its processor to another thread whenever a system
// call is under way, and then look again every 20 microseconds.
const longTurn = 7 * time.Millisecond

// yield lets the scheduler have its turn, if it is time for that.
func (l *loop) yield(now time.Time) {
	if now.Sub(l.yielded) > longTurn {
		l.yielded = now
		runtime.Gosched()
	}
}

// Run implements gnet.Runnable: it empties the mailbox on the loop.
func (l *loop) Run(context.Context) error {
	l.empty()
	return l.serve()
}

func (l *loop) empty() {
	l.enter()
	defer l.leave()
	l.mu.Lock()
	box := l.box
	l.box, l.spare = l.spare[:0], nil
	l.scheduled = false
	l.mu.Unlock()
	for i := range box {
		l.handle(&box[i])
	}
	clear(box)
	l.mu.Lock()
	l.spare = box
	l.mu.Unlock()
}

func (l *loop) handle(m *message) {
	defer l.recovered(m.s)
	switch m.kind {
	case msgComplete:
		m.s.completed(m.tx, m.res)
	case msgRecipients:
		m.s.recipientsReplied(m.tx)
	case msgPassword:
		m.s.passwordChecked(m.verdict)
	case msgToken:
		m.s.tokenReady(m.err)
	case msgTick:
		l.tick(m.at)
	case msgWire:
		if m.s.state != stateClosed {
			_, _ = m.s.conn.Write(m.wire) // a failure closes
		}
	case msgHandshake:
		m.s.handshakeDone(m.err)
	case msgEvict:
		m.s.evicted()
	case msgOpen:
		l.open(m.s)
	case msgRun:
		m.run.Run()
	case msgListen:
		l.listen(m.listener)
	case msgHear:
		l.hearAll()
	case msgWatch:
		l.watch(m.watching)
	case msgDrain:
		l.draining = true
		l.stopListening()
		for s := range l.sessions {
			s.flush()
		}
	case msgKill:
		for s := range l.sessions {
			s.end(codec.ReplyShutdown)
			s.flush()
			s.close()
		}
	}
}

func (l *loop) tick(at time.Time) {
	l.part.End()
	l.srv.metrics.loopLag.Update(time.Since(at).Seconds())
	l.ticks++
	if l.srv.relay.Stuck() {
		for s := range l.sessions {
			s.endWait(at)
		}
	}
	l.hearAll()
	l.wheel.advance(l.ticks, (*session).timeout)
}

// recovered keeps a panic in the session it happened in: gnet recovers
// nothing, one panic would end the process with all sessions.
func (l *loop) recovered(s *session) {
	p := recover()
	if p == nil {
		return
	}
	l.out = l.out[:0]
	l.srv.panicked("panic in a session, which is closed", p, debug.Stack())
	if s != nil {
		s.close()
	}
}
