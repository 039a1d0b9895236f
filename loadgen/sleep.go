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
	// Whatever else is ready runs first: this goroutine takes its processor
	// into the kernel, and the queue stays behind until the scheduler notices.
	runtime.Gosched()
	ts := unix.NsecToTimespec(int64(d))
	// An interrupted sleep is short, and the caller sleeps again.
	_ = unix.Nanosleep(&ts, nil)
}

// prepareSleep gives the runtime one processor more, for the one that is held
// by who sleeps.
func prepareSleep() {
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
}
