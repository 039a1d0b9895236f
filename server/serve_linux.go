package server

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
	"unsafe"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// gnet asks epoll without waiting, and when that finds nothing it calls
// runtime.Gosched before it waits. Each such call wakes a thread that looks in
// vain for something to do, and often takes the loop over, which costs a good
// part of the CPU at moderate rates and shows in the latency. So a loop waits for
// its sockets itself, inside a task of gnet's, and hands what it finds to the
// function that gnet would hand it to. It returns for what only gnet can do: the
// tasks of others.

//go:linkname getConn github.com/panjf2000/gnet/v2.(*connMatrix).getConn
func getConn(conns unsafe.Pointer, fd int) (c unsafe.Pointer)

//go:linkname processIO github.com/panjf2000/gnet/v2.(*conn).processIO
func processIO(c unsafe.Pointer, fd int, ev netpoll.IOEvent, flags netpoll.IOFlags) error

// takeOver has the loop wait for its sockets itself from now on, if it was gnet
// that waited. It is for callbacks of gnet.
func (l *loop) takeOver() {
	if l.serving || l.poller.woken == nil {
		return
	}
	l.serving = true
	if err := l.events.Execute(context.Background(), l); err != nil { // the engine has ended
		l.srv.log.Warn("waking a loop", zap.Error(err))
	}
}

// serve waits for sockets and serves them until there are tasks for gnet. It is
// for the end of a task of gnet's. An error is what that one has to return.
func (l *loop) serve() error {
	if l.poller.woken == nil {
		return nil
	}
	l.serving = true
	defer func() { l.serving = false }()
	// gnet does the same two steps behind its tasks. With nothing left to do in
	// between it makes no difference that they are done early.
	atomic.StoreInt32(l.poller.woken, 0)
	for _, tasks := range l.poller.tasks {
		if !(*tasks).IsEmpty() {
			return nil
		}
	}
	for woken := false; !woken; {
		n, err := unix.EpollWait(l.poller.epoll, l.ready[:], -1)
		if err == unix.EINTR {
			continue
		} else if err != nil {
			return nil // gnet sees it too
		}
		now := time.Now()
		l.yield(now)
		if woken, err = l.serveReady(l.ready[:n], now); err != nil {
			return err
		}
	}
	return nil
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
			c := getConn(l.poller.conns, fd)
			if c == nil {
				// Nothing but the eventfd has no connection. It is edge-triggered:
				// gnet does not learn of it, but goes on with its tasks.
				woken = true
				continue
			}
			if err := processIO(c, fd, ready[i].Events, 0); errors.Is(err, errorx.ErrEngineShutdown) {
				return woken, err
			}
		}
		if providers && len(ready) < len(l.ready) { // else there may be more
			l.looked = now
		}
	}
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
