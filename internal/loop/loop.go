package loop

import (
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Runner is a piece of work for a loop. Run must not block.
type Runner interface{ Run() }

// Loop is one event loop. Its methods may be called on the loop only, but for
// those that say otherwise.
type Loop struct {
	engine *Engine
	gnet   gnet.EventLoop
	poller poller

	ready      [128]unix.EpollEvent
	input      []byte      // what is read from one socket
	plain      []byte      // what one connection decrypts
	cipher     []byte      // what crypto/tls has to write for the connection that is being written to
	peek       [1]byte     // see Unread
	conns      []*Conn     // by descriptor
	listeners  []*Listener // from which the loop accepts
	paused     bool        // it does not accept
	acceptable []*Listener // with a client to accept, in the current batch
	load       atomic.Int64
	polled     time.Time
	started    time.Time
	clock      time.Duration // see Clock
	wheel      *wheel

	depth     int      // callbacks that are running, one inside the other
	deferred  []Runner // to run after them
	next      []Runner // to run after the sockets that are ready
	callbacks uint64   // so far
	yielded   time.Time
	tick      tick
	heartbeat Heartbeat // may be nil

	mu        sync.Mutex // guards inbox, spare, scheduled and stopped
	inbox     []Runner
	spare     []Runner // the slice that is swapped with inbox; nil while it is in use
	scheduled bool
	stopped   bool // Post returns false
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

// Post runs r on the loop, soon. It is safe for use on any goroutine. It returns false
// if the loop has ended: then r does not run.
func (l *Loop) Post(r Runner) bool {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return false
	}
	l.inbox = append(l.inbox, r)
	if l.scheduled {
		l.mu.Unlock()
		return true
	}
	l.scheduled = true
	l.mu.Unlock()
	if err := l.wakeUp(); err != nil { // the engine has ended: Engine.Close drops the inbox
		l.engine.cfg.failed("cannot wake event loop", err)
	}
	return true
}

// Later runs r right after the callback that is running.
func (l *Loop) Later(r Runner) { l.deferred = append(l.deferred, r) }

// Next runs r after the sockets that are ready by then: what takes long goes on so, and
// the others have their turn. Unlike Post it wakes nothing. r does not run if the loop
// ends first.
func (l *Loop) Next(r Runner) { l.next = append(l.next, r) }

// runNext runs what Next was given, and not what that gives it.
func (l *Loop) runNext() {
	l.enter()
	n := len(l.next)
	for i := range n {
		l.runOne(l.next[i])
	}
	l.next = slices.Delete(l.next, 0, n)
	l.leave()
}

// Polled is when the loop last received all events from the kernel and had handled those
// of connections to providers.
func (l *Loop) Polled() time.Time { return l.polled }

// Clock is when the loop last woke, as the time since its start. It stands still until
// the loop waits again.
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

// yield calls runtime.Gosched if the loop has run for longTurn.
func (l *Loop) yield(now time.Time) {
	if now.Sub(l.yielded) > longTurn {
		l.yielded = now
		runtime.Gosched()
	}
}

// empty runs all that is in the inbox.
func (l *Loop) empty() {
	l.mu.Lock()
	box := l.inbox
	l.inbox, l.spare = l.spare[:0], nil
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

// runOne runs r. It contains a panic.
func (l *Loop) runOne(r Runner) {
	defer l.contain(r)
	r.Run()
}

// Failer is a Runner, a Handler or an Expirer whose Failed is called after a panic in it, so
// that it can close its connection.
type Failer interface{ Failed() }

// Contain is to be deferred around a part of a callback: a panic there is reported, and
// ends only what who.Failed closes.
func (l *Loop) Contain(who Failer) {
	if p := recover(); p != nil {
		l.failed(p, who)
	}
}

// contain is deferred around each callback. gnet recovers no panic: one would end the
// process with all connections.
func (l *Loop) contain(who any) {
	if p := recover(); p != nil {
		l.failed(p, who)
	}
}

// Discard drops what was gathered and not flushed. A handler that contains a panic itself
// must call it: the octets would leave by another connection.
func (l *Loop) Discard() { l.cipher = l.cipher[:0] }

// failed reports a panic, and closes what it happened in.
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

// serve handles the sockets that are ready, those to providers first. woken reports
// whether gnet has tasks.
func (l *Loop) serve(ready []unix.EpollEvent, now time.Time) (woken bool) {
	for _, providers := range []bool{true, false} {
		for i := range ready {
			fd, ev := int(ready[i].Fd), ready[i].Events
			if c := l.connOf(fd); c != nil {
				if c.toProvider == providers {
					c.onReady(ev)
				}
			} else if !providers {
				if fd == l.poller.wake { // edge-triggered: gnet does not see it, but goes on with its tasks
					woken = true
				} else if from := l.listenerOf(fd); from != nil {
					l.acceptable = append(l.acceptable, from)
				} // else the socket was closed meanwhile
			}
		}
		if providers && len(ready) < len(l.ready) { // else the kernel may have more
			l.polled = now
		}
	}
	// Accepting comes last: an accepted socket may get the descriptor of a closed one
	// that still has an event in ready.
	for _, from := range l.acceptable {
		l.accept(from)
	}
	l.acceptable = l.acceptable[:0]
	return woken
}

// connOf finds the connection of a descriptor, nil if there is none.
func (l *Loop) connOf(fd int) *Conn {
	if fd < len(l.conns) {
		return l.conns[fd]
	}
	return nil
}

// setConn enters the connection of a descriptor; nil removes it.
func (l *Loop) setConn(fd int, c *Conn) {
	if fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*Conn, fd+1-len(l.conns))...)
	}
	l.conns[fd] = c
}
