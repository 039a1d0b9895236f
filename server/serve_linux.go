package server

import (
	"errors"
	"sync/atomic"
	"time"
	"unsafe"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// gnet asks epoll without waiting, and when that finds nothing it calls
// runtime.Gosched before it waits. Each such call wakes a thread that looks in
// vain for something to do, and often takes the loop over, which costs a good
// part of the CPU and shows in the latency. So a loop waits for its sockets itself,
// inside a task of gnet's, and hands what it finds to the function that gnet
// would hand it to. When it is woken it returns, since only gnet can do its tasks;
// the last of them is such a task again. That is so because nobody else
// gives tasks to the loops while they run; if somebody did, gnet would wait
// until the next tick.

//go:linkname getConn github.com/panjf2000/gnet/v2.(*connMatrix).getConn
func getConn(conns unsafe.Pointer, fd int) (c unsafe.Pointer)

//go:linkname processIO github.com/panjf2000/gnet/v2.(*conn).processIO
func processIO(c unsafe.Pointer, fd int, ev netpoll.IOEvent, flags netpoll.IOFlags) error

// serve waits for sockets and serves them until there are tasks for gnet. It is
// for the end of a task of gnet's. An error is what that one has to return.
func (l *loop) serve() error {
	for woken := true; ; {
		if woken {
			// gnet does the same two steps behind its tasks. Often it has done
			// already what the loop was woken for.
			atomic.StoreInt32(l.poller.woken, 0)
			for _, tasks := range l.poller.tasks {
				if !(*tasks).IsEmpty() {
					return nil
				}
			}
		}
		n, err := unix.EpollWait(l.poller.epoll, l.ready[:], -1)
		if err == unix.EINTR {
			continue
		} else if err != nil {
			return nil // gnet sees it too
		}
		now := time.Now()
		l.clock = now.Sub(l.srv.started)
		l.yield(now)
		if woken, err = l.serveReady(l.ready[:n], now); err != nil {
			return err
		}
	}
}

// serveReady serves the sockets that are ready, those of providers first, so that
// a connection that has ended is known before the next message wants it. woken
// is whether there are tasks.
func (l *loop) serveReady(ready []unix.EpollEvent, now time.Time) (woken bool, err error) {
	for _, providers := range []bool{true, false} {
		for i := range ready {
			fd := int(ready[i].Fd)
			if l.isProvider(fd) != providers {
				continue
			}
			if c := getConn(l.poller.conns, fd); c != nil {
				if err := l.serveConn(c, fd, ready[i].Events); errors.Is(err, errorx.ErrEngineShutdown) {
					return woken, err
				}
			} else if fd == l.poller.wake { // edge-triggered: gnet does not learn of it, but goes on with its tasks
				woken = true
			} else if from := l.listenerOf(fd); from != nil {
				l.knocked = append(l.knocked, from)
			} // else it was closed meanwhile
		}
		if providers && len(ready) < len(l.ready) { // else there may be more
			l.looked = now
		}
	}
	// Last, since an accepted socket may get the descriptor of one that was closed
	// and is still to come in ready.
	for _, from := range l.knocked {
		l.accept(from)
	}
	l.knocked = l.knocked[:0]
	return woken, nil
}

// Looked implements upstream.Loop.
func (l *loop) Looked() time.Time { return l.looked }

// isProvider reports whether fd is a connection to a provider.
func (l *loop) isProvider(fd int) bool { return fd < len(l.providers) && l.providers[fd] }

// setProvider notes whether fd is a connection to a provider.
func (l *loop) setProvider(fd int, is bool) {
	if fd >= len(l.providers) {
		l.providers = append(l.providers, make([]bool, fd+1-len(l.providers))...)
	}
	l.providers[fd] = is
}
