package loop

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Runner is something to do on a loop. Run must not block.
type Runner interface{ Run() }

// Loop is one event loop. Its methods may be called on the loop only, but for
// those that say otherwise.
type Loop struct {
	engine *Engine
	gnet   gnet.EventLoop
	poller poller

	ready     [128]unix.EpollEvent
	input     []byte      // what is read from one socket
	plain     []byte      // what one connection decrypts
	cipher    []byte      // what crypto/tls has to write for the connection that is being written to
	peek      [1]byte     // see Unread
	conns     []*Conn     // by descriptor
	listeners []*Listener // accepted from
	knocking  []*Listener // that a client waits at
	load      atomic.Int64
	polled    time.Time
	started   time.Time
	clock     time.Duration // see Clock
	wheel     *wheel

	depth     int      // callbacks that are running, one inside the other
	deferred  []Runner // for when they are over
	callbacks uint64   // so far
	yielded   time.Time
	tick      tick
	heartbeat Heartbeat // may be nil

	mu        sync.Mutex // guards the mailbox: box, scheduled and stopped
	box       []Runner
	spare     []Runner
	scheduled bool
	stopped   bool // takes no more
}

const (
	// inputSize is how much is read from a socket at a time, in octets.
	inputSize = 64 << 10
	// recordSize is the most plaintext of a TLS record (RFC 8446 section 5.1).
	recordSize = 16 << 10
)

func newLoop(events gnet.EventLoop, p poller) *Loop {
	l := &Loop{
		gnet: events, poller: p, started: time.Now(), wheel: newWheel(),
		input: make([]byte, inputSize), plain: make([]byte, recordSize),
	}
	l.tick.loop = l
	return l
}

// Post has r run on the loop, soon. It is safe for use on any goroutine. It
// returns false if the loop takes nothing more: then r does not run.
func (l *Loop) Post(r Runner) bool {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return false
	}
	l.box = append(l.box, r)
	if l.scheduled {
		l.mu.Unlock()
		return true
	}
	l.scheduled = true
	l.mu.Unlock()
	if err := l.wakeUp(); err != nil { // the engine has ended: Engine.Close sees to what is in the box
		l.engine.cfg.failed("cannot wake event loop", err)
	}
	return true
}

// Later has r run right after the callback that is running.
func (l *Loop) Later(r Runner) { l.deferred = append(l.deferred, r) }

// Polled is when the loop last asked the kernel for everything that had come in,
// and then told the connections to providers first.
func (l *Loop) Polled() time.Time { return l.polled }

// Clock is when the loop last woke, as the time since its start. All that it does
// until it waits again happens at that time.
func (l *Loop) Clock() time.Duration { return l.clock }

// Callbacks is the number of callbacks that the loop has run so far.
func (l *Loop) Callbacks() uint64 { return l.callbacks }

// Load is the number of client connections that the loop serves, or will serve. It is
// safe for use on any goroutine.
func (l *Loop) Load() int64 { return l.load.Load() }

// enter and leave enclose each callback.
func (l *Loop) enter() { l.depth++ }

func (l *Loop) leave() {
	if l.depth == 1 && len(l.deferred) > 0 {
		for i := 0; i < len(l.deferred); i++ { // running one may add more
			l.runOne(l.deferred[i])
		}
		clear(l.deferred)
		l.deferred = l.deferred[:0]
	}
	l.depth--
	if l.callbacks++; l.callbacks%16 == 0 {
		l.yield(time.Now())
	}
}

// longTurn is how long a loop runs before it calls runtime.Gosched: less than the
// 10 ms after which Go's monitor interrupts a thread by a signal, hands its processor
// on at each system call, and then looks again every 20 microseconds.
const longTurn = 7 * time.Millisecond

// yield calls the scheduler if it is time for that.
func (l *Loop) yield(now time.Time) {
	if now.Sub(l.yielded) > longTurn {
		l.yielded = now
		runtime.Gosched()
	}
}

// empty runs what is in the mailbox.
func (l *Loop) empty() {
	l.mu.Lock()
	box := l.box
	l.box, l.spare = l.spare[:0], nil
	l.scheduled = false
	l.mu.Unlock()
	l.enter()
	for _, r := range box {
		l.runOne(r)
	}
	l.leave()
	clear(box)
	l.mu.Lock()
	l.spare = box
	l.mu.Unlock()
}

// runOne contains a panic in what it runs.
func (l *Loop) runOne(r Runner) {
	defer l.contain(r)
	r.Run()
}

// Failer is a Runner, a Handler or an Expirer that is told of a panic in it, so that
// it can close what it was working on.
type Failer interface{ Failed() }

// Contain is to be deferred around a part of a callback whose panic shall end no more
// than what who closes.
func (l *Loop) Contain(who Failer) {
	if p := recover(); p != nil {
		l.failed(p, who)
	}
}

// contain is deferred around each callback. gnet recovers nothing: one panic would
// end the process with all connections.
func (l *Loop) contain(who any) {
	if p := recover(); p != nil {
		l.failed(p, who)
	}
}

// Discard forgets what was gathered and not flushed: after a panic that its handler has
// contained itself, it would leave by another connection.
func (l *Loop) Discard() { l.cipher = l.cipher[:0] }

// failed reports a panic and has what it happened in closed.
func (l *Loop) failed(p any, who any) {
	l.Discard()
	l.engine.cfg.panicked(InCallback, p, debug.Stack())
	if c, ok := who.(*Conn); ok {
		defer c.Close()
		who = c.handler
	}
	if f, ok := who.(Failer); ok {
		f.Failed()
	}
}

// serve handles the sockets that are ready, those to providers first. woken is
// whether there are tasks.
func (l *Loop) serve(ready []unix.EpollEvent, now time.Time) (woken bool) {
	for _, first := range []bool{true, false} {
		for i := range ready {
			fd, ev := int(ready[i].Fd), ready[i].Events
			if c := l.connOf(fd); c != nil {
				if c.first == first {
					c.onReady(ev)
				}
			} else if !first {
				if fd == l.poller.wake { // edge-triggered: gnet does not learn of it, but goes on with its tasks
					woken = true
				} else if from := l.listenerOf(fd); from != nil {
					l.knocking = append(l.knocking, from)
				} // else it was closed meanwhile
			}
		}
		if first && len(ready) < len(l.ready) { // else there may be more
			l.polled = now
		}
	}
	// Last, since an accepted socket may get the descriptor of one that was closed
	// and is still to come in ready.
	for _, from := range l.knocking {
		l.accept(from)
	}
	l.knocking = l.knocking[:0]
	return woken
}

// connOf finds the connection of a descriptor, nil if there is none.
func (l *Loop) connOf(fd int) *Conn {
	if fd < len(l.conns) {
		return l.conns[fd]
	}
	return nil
}

// setConn enters the connection of a descriptor; nil: there is none any more.
func (l *Loop) setConn(fd int, c *Conn) {
	if fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*Conn, fd+1-len(l.conns))...)
	}
	l.conns[fd] = c
}
