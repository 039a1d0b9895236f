package upstream

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onLoops is whether the tests submit their transactions from a loop.
var onLoops bool

// both runs all tests twice: with transactions that come from no loop, which
// workers carry, and with transactions from a loop.
type both struct{ m *testing.M }

func (b both) Run() int {
	for _, onLoops = range []bool{false, true} {
		if code := b.m.Run(); code != 0 {
			return code
		}
	}
	return 0
}

// testLoop is a Loop on plain goroutines.
type testLoop struct {
	mu      sync.Mutex
	wake    sync.Cond
	box     []Runner
	stopped bool
	done    chan struct{}

	later   []Runner                 // of the loop
	sockets map[*testSocket]struct{} // of the loop
}

func newTestLoop() *testLoop {
	l := &testLoop{done: make(chan struct{}), sockets: make(map[*testSocket]struct{})}
	l.wake.L = &l.mu
	go l.run()
	return l
}

func (l *testLoop) run() {
	defer close(l.done)
	for {
		l.mu.Lock()
		for len(l.box) == 0 && !l.stopped {
			l.wake.Wait()
		}
		box := l.box
		l.box = nil
		l.mu.Unlock()
		if len(box) == 0 {
			for s := range l.sockets {
				s.shut(ErrClosed)
			}
			return
		}
		for _, r := range box {
			r.Run()
			for len(l.later) > 0 {
				next := l.later[0]
				l.later = l.later[1:]
				next.Run()
			}
		}
	}
}

// stop ends the loop when its mailbox is empty, and closes its connections.
func (l *testLoop) stop() {
	l.mu.Lock()
	l.stopped = true
	l.wake.Signal()
	l.mu.Unlock()
	<-l.done
}

func (l *testLoop) Post(r Runner) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	l.box = append(l.box, r)
	l.wake.Signal()
	return true
}

func (l *testLoop) Polled() time.Time { return time.Time{} }
func (l *testLoop) Later(r Runner)    { l.later = append(l.later, r) }

// task is a function to run on the loop, and a way to wait for it.
type loopTask struct {
	f    func()
	done chan struct{}
}

func (t loopTask) Run() { t.f(); close(t.done) }

func (l *testLoop) start(f func()) (done chan struct{}, ok bool) {
	t := loopTask{f, make(chan struct{})}
	return t.done, l.Post(t)
}

func (l *testLoop) Watch(c *net.TCPConn, d Driven) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	s := &testSocket{loop: l, tcp: c, raw: raw, driven: d, gone: make(chan struct{}), left: make(chan struct{})}
	s.more.L = &s.mu
	done, ok := l.start(func() {
		l.sockets[s] = struct{}{}
		d.Watched(s)
	})
	if !ok {
		_ = c.Close()
		return ErrClosed
	}
	<-done
	go s.watch()
	go s.write()
	return nil
}

// testSocket is a watched connection. A goroutine waits for input, which the
// loop reads, and another one writes what the socket did not take at once.
type testSocket struct {
	loop   *testLoop
	tcp    *net.TCPConn
	raw    syscall.RawConn
	driven Driven
	gone   chan struct{} // closed on the loop: nothing is reported any more
	over   bool          // gone is closed
	left   chan struct{} // watch has ended

	mu      sync.Mutex
	more    sync.Cond
	out     []byte
	writing bool // or going to
	ended   bool
}

func (s *testSocket) watch() {
	defer close(s.left)
	for {
		ready := false
		var b [1]byte
		err := s.raw.Read(func(fd uintptr) bool {
			_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			ready = err != unix.EAGAIN
			return ready
		})
		if err != nil && !ready { // released, or closed
			return
		}
		done, ok := s.loop.start(s.read)
		if !ok {
			return
		}
		select {
		case <-done:
		case <-s.gone:
			return
		}
	}
}

// read runs on the loop.
func (s *testSocket) read() {
	if s.over {
		return
	}
	buf := make([]byte, 64<<10)
	var n int
	var err error
	if cerr := s.raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf) }); cerr != nil {
		err = cerr
	}
	switch {
	case err == unix.EAGAIN:
	case err != nil:
		s.shut(err)
	case n == 0:
		s.shut(io.EOF)
	default:
		s.driven.Received(buf[:n])
	}
}

// shut runs on the loop.
func (s *testSocket) shut(err error) {
	if s.over {
		return
	}
	s.leave()
	_ = s.tcp.Close()
	s.driven.Closed(err)
}

func (s *testSocket) leave() {
	s.over = true
	delete(s.loop.sockets, s)
	close(s.gone)
	s.mu.Lock()
	s.ended = true
	s.more.Signal()
	s.mu.Unlock()
}

func (s *testSocket) write() {
	for {
		s.mu.Lock()
		s.writing = false
		for len(s.out) == 0 && !s.ended {
			s.more.Wait()
		}
		out := s.out
		s.out, s.writing = nil, true
		ended := s.ended
		s.mu.Unlock()
		if ended {
			return
		}
		if _, err := s.tcp.Write(out); err != nil {
			s.loop.start(func() { s.shut(err) })
			return
		}
	}
}

func (s *testSocket) Write(b []byte) (int, error) {
	if s.over {
		return 0, net.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	if len(s.out) == 0 && !s.writing {
		var err error
		if cerr := s.raw.Control(func(fd uintptr) { n, err = unix.Write(int(fd), b) }); cerr != nil {
			err = cerr
		}
		if n = max(n, 0); err != nil && err != unix.EAGAIN {
			s.mu.Unlock() // shut needs it
			s.shut(err)
			s.mu.Lock()
			return 0, err
		}
	}
	if n < len(b) {
		s.out = append(s.out, b[n:]...)
		s.more.Signal()
	}
	return len(b), nil
}

func (s *testSocket) FD() (fd int) {
	_ = s.raw.Control(func(f uintptr) { fd = int(f) })
	return fd
}

func (s *testSocket) Close() { s.shut(nil) }

func (s *testSocket) Release() (*net.TCPConn, error) {
	s.mu.Lock()
	unsent := len(s.out) > 0 || s.writing
	s.mu.Unlock()
	if unsent {
		s.Close()
		return nil, net.ErrClosed
	}
	s.leave()
	_ = s.tcp.SetReadDeadline(time.Unix(1, 0))
	<-s.left
	return s.tcp, s.tcp.SetDeadline(time.Time{})
}
