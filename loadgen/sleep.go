package main

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// preciseSleep sleeps to within some ten microseconds. The runtime's own
// timers go through epoll, whose timeout is in milliseconds: that would add up
// to one to every latency.
func preciseSleep(d time.Duration) {
	// Other ready goroutines run first: this one takes its processor into the
	// kernel, and the processor's queue waits until the scheduler notices.
	runtime.Gosched()
	ts := unix.NsecToTimespec(int64(d))
	// An interrupted sleep is short, and the caller sleeps again.
	_ = unix.Nanosleep(&ts, nil)
}

// prepareSleep gives the runtime one processor more: the sleeping goroutine holds one.
func prepareSleep() {
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
}
