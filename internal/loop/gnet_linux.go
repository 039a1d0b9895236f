package loop

// What we rely on in gnet v2.10.0, and what each part was measured to be worth. Read
// this again when gnet changes; TestLinkedFunctions holds the declarations against
// gnet's source, the tests of Conn what they do, and TestPollerIsNotFound what happens
// where the fields are not found.
//
//   - gnet.Client runs n event loops without listeners; a task given to Execute runs
//     on its loop, and the loop's poller returns to its tasks only. A loop of ours is
//     one such task that ends when the loop is woken, and is given again by post.
//     Waiting ourselves instead of by gnet's poller: 0.91 of the CPU at each load
//     that was tried, half of the P95 at 833 messages a second (gnet polls without
//     waiting and calls runtime.Gosched each time, which wakes threads in vain).
//   - A task that gnet is given by another party while ours runs would wait until the
//     next tick: EventLoop.Execute is called here only.
//   - newStreamConn and register0 make a connection of a descriptor, as gnet does with
//     sockets that it accepts, without package net and a duplicate: 0.84 of the CPU
//     where each message comes over a connection of its own. register0 adds the
//     descriptor to epoll for input, enters it into the loop's table, and calls
//     OnOpen; if epoll refuses, it closes the descriptor.
//   - (*conn).Write writes, keeps what the socket does not take, and asks epoll for
//     output then. If it fails it closes the connection, inside the call, and nothing
//     of that write has left. After a connection is closed a Write would go to
//     whichever connection has the descriptor then: Conn guards it.
//   - (*conn).processIO with EPOLLOUT writes what was kept, and asks epoll for input
//     again when all has left, whatever was asked before: watch corrects that.
//   - EventLoop.Close closes the descriptor and calls OnClose.
//
// What gnet does not do for us: accept (it ends the engine at EMFILE), wait, read (it
// takes a read of 0 for the end of the connection), find the connection of an event,
// balance, keep time.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

//go:linkname newStreamConn github.com/panjf2000/gnet/v2.newStreamConn
func newStreamConn(proto string, fd int, el unsafe.Pointer, sa unix.Sockaddr, local, remote net.Addr) (c unsafe.Pointer)

//go:linkname setContext github.com/panjf2000/gnet/v2.(*conn).SetContext
func setContext(c unsafe.Pointer, ctx any)

//go:linkname register0 github.com/panjf2000/gnet/v2.(*eventloop).register0
func register0(el, c unsafe.Pointer) error

//go:linkname processIO github.com/panjf2000/gnet/v2.(*conn).processIO
func processIO(c unsafe.Pointer, fd int, ev netpoll.IOEvent, flags netpoll.IOFlags) error

// poller is what we use of the part of a gnet loop that waits for sockets. It
// is not exported.
type poller struct {
	epoll int // descriptor
	wake  int // the eventfd, in the epoll set
	// woken is 1 from when a task is given until the loop looks for tasks: gnet after
	// those that it has done, and the loop itself.
	woken *int32
	tasks [2]*queue.AsyncTaskQueue
}

// errVersion: go.mod pins another version of gnet than the one this is written for.
var errVersion = errors.New("unsupported gnet version: poller layout differs")

// pollerOf finds the poller of the loop of c.
func pollerOf(c gnet.Conn) (p poller, err error) {
	v := structAt(reflect.ValueOf(c))
	for _, name := range []string{"loop", "poller"} {
		if v.IsValid() {
			v = structAt(v.FieldByName(name))
		}
	}
	if !v.IsValid() {
		return p, errVersion
	}
	p.woken = field[int32](v, "wakeupCall")
	p.tasks[0] = field[queue.AsyncTaskQueue](v, "urgentAsyncTaskQueue")
	p.tasks[1] = field[queue.AsyncTaskQueue](v, "asyncTaskQueue")
	epoll, wake := field[int](v, "fd"), field[int](v, "efd")
	if p.woken == nil || p.tasks[0] == nil || p.tasks[1] == nil || epoll == nil || wake == nil {
		return p, errVersion
	}
	p.epoll, p.wake = *epoll, *wake
	return p, nil
}

// structAt is the struct that v points to, the zero Value if there is none.
func structAt(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct { // Elem of nil is of no kind
		return reflect.Value{}
	}
	return v.Elem()
}

// field points to a field of the addressable struct v, if it has that type.
func field[T any](v reflect.Value, name string) *T {
	f := v.FieldByName(name)
	if !f.IsValid() || f.Type() != reflect.TypeFor[T]() {
		return nil
	}
	return (*T)(unsafe.Pointer(f.UnsafeAddr()))
}

// idle reports whether gnet has no task for the loop. It marks the loop as not
// woken first, as gnet does after its tasks.
func (p *poller) idle() bool {
	atomic.StoreInt32(p.woken, 0)
	for _, tasks := range p.tasks {
		if !(*tasks).IsEmpty() {
			return false
		}
	}
	return true
}

// events receives what gnet reports.
type events struct{ gnet.BuiltinEventEngine }

// OnOpen is called inside register0.
func (*events) OnOpen(g gnet.Conn) ([]byte, gnet.Action) {
	if c, ok := g.Context().(*Conn); ok { // else one of those that findLoops makes
		c.opened(g)
	}
	return nil, gnet.None
}

// OnClose may be called inside a Write or Close of ours.
func (*events) OnClose(g gnet.Conn, err error) gnet.Action {
	if c, ok := g.Context().(*Conn); ok {
		c.gone(err)
	}
	return gnet.None
}

// startEngine starts n gnet loops and finds them.
func startEngine(n int, lock bool, log *zap.Logger) (*gnet.Client, []*Loop, error) {
	engine, err := gnet.NewClient(&events{},
		gnet.WithNumEventLoop(n),
		gnet.WithLockOSThread(lock),
		gnet.WithLogger(log.Named("gnet").WithOptions(zap.IncreaseLevel(zap.WarnLevel)).Sugar()),
		gnet.WithLogLevel(logging.WarnLevel))
	if err != nil {
		return nil, nil, fmt.Errorf("loop: %w", err)
	}
	if err := engine.Start(); err != nil {
		return nil, nil, fmt.Errorf("loop: cannot start: %w", err)
	}
	loops, err := findLoops(engine, n)
	if err != nil {
		return nil, nil, errors.Join(err, engine.Stop())
	}
	return engine, loops, nil
}

// findLoops learns which loops the engine has: gnet offers no list, but it
// places a connection on the loop that has the fewest, so n of them reach all.
func findLoops(engine *gnet.Client, n int) (loops []*Loop, err error) {
	for range n {
		ours, theirs, err := socketPair()
		if err != nil {
			return nil, fmt.Errorf("loop: cannot find the loops: %w", err)
		}
		defer theirs.Close()
		g, err := engine.EnrollContext(ours, nil)
		if err != nil {
			return nil, fmt.Errorf("loop: cannot find the loops: %w", err)
		}
		defer g.Close()
		p, err := pollerOf(g)
		if err != nil {
			return nil, err
		}
		loops = append(loops, newLoop(g.EventLoop(), p))
	}
	return loops, nil
}

// socketPair gives two connected stream sockets.
func socketPair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	fa, fb := os.NewFile(uintptr(fds[0]), "pair"), os.NewFile(uintptr(fds[1]), "pair")
	defer fa.Close()
	defer fb.Close()
	if a, err = net.FileConn(fa); err != nil {
		return nil, nil, err
	}
	if b, err = net.FileConn(fb); err != nil {
		_ = a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// Run implements gnet.Runnable: it empties the inbox, and serves sockets until
// there are tasks for gnet, of which the last one is the next Run.
func (l *Loop) Run(context.Context) error {
	l.empty()
	for woken := true; ; {
		if woken && !l.poller.idle() {
			return nil
		}
		timeout := -1
		if len(l.next) > 0 {
			timeout = 0
		}
		n, err := unix.EpollWait(l.poller.epoll, l.ready[:], timeout)
		if err == unix.EINTR {
			continue
		} else if err != nil {
			return nil // gnet sees it too
		}
		now := time.Now()
		l.clock = now.Sub(l.started)
		l.yield(now)
		woken = l.serve(l.ready[:n], now)
		if len(l.next) > 0 {
			l.runNext()
		}
	}
}

// wakeUp has gnet run the loop's task.
func (l *Loop) wakeUp() error { return l.gnet.Execute(context.Background(), l) }

// register has the loop serve c over the descriptor: opened is next. Where epoll
// refuses the descriptor, gnet closes it and calls nothing.
func (l *Loop) register(c *Conn, fd int) error {
	c.raw = newStreamConn("tcp", fd, reflect.ValueOf(l.gnet).UnsafePointer(), nil, nil, nil)
	setContext(c.raw, c)
	return register0(reflect.ValueOf(l.gnet).UnsafePointer(), c.raw)
}

// sendKept lets gnet write the octets that it keeps. It may close the connection.
func (c *Conn) sendKept() { _ = processIO(c.raw, c.fd, unix.EPOLLOUT, 0) }

// release closes the connection: gone runs inside.
func (c *Conn) release() { _ = c.loop.gnet.Close(c.gnet) } // its error only repeats that it is gone

// Unread reports whether input has arrived that the loop has not read yet. It asks the
// kernel without reading, and allocates nothing.
func (c *Conn) Unread() Unread {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&c.loop.peek)), 1,
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	switch {
	case errno == unix.EAGAIN:
		return NothingUnread
	case errno != 0 || n == 0:
		return Ended
	}
	return InputUnread
}
