package server

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// gnet asks epoll without waiting, and when that finds nothing it calls
// runtime.Gosched before it waits. Each such call wakes a thread that looks in
// vain for something to do, and often takes the loop over, which costs a good
// part of the CPU at moderate rates and shows in the latency. So a loop that has
// served a connection waits here for the next event, if there is none: then what
// gnet asks for is there.

const (
	// waited is how long a look takes at least that has found nothing at first.
	waited = 5 * time.Microsecond
	// busy is how long a loop finds something at each look until it looks less
	// often.
	busy = 3 * time.Millisecond
	// busyLooks is after how many events it looks then.
	busyLooks = 16
)

// rest waits until there is something to do. It is for the end of a callback
// that gnet calls for an event of a socket.
func (l *loop) rest() {
	if l.poller.woken == nil {
		return
	}
	if l.unlooked > 0 {
		l.unlooked--
		return
	}
	// Tasks that gnet has been woken for, it does behind the events that it has:
	// it would not be woken again. If it is woken from now on, the descriptor
	// gets ready.
	if atomic.LoadInt32(l.poller.woken) == 0 {
		l.wait()
	}
}

// restTasked is rest for the end of a task of gnet's.
func (l *loop) restTasked() {
	if l.poller.woken == nil {
		return
	}
	// gnet does the same two steps behind its tasks. With nothing left to do in
	// between it makes no difference that they are done early.
	atomic.StoreInt32(l.poller.woken, 0)
	for _, tasks := range l.poller.tasks {
		if !(*tasks).IsEmpty() {
			return
		}
	}
	l.wait()
}

func (l *loop) wait() {
	before := time.Now()
	l.yield(before)
	ready := [1]unix.PollFd{{Fd: int32(l.poller.epoll), Events: unix.POLLIN}}
	_, _ = unix.Poll(ready[:], -1) // after an error gnet waits
	after := time.Now()
	switch {
	case after.Sub(before) > waited:
		l.rested = after
	case after.Sub(l.rested) > busy:
		l.unlooked = busyLooks - 1
	}
}
