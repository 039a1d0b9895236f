//go:build !race

package upstream

import (
	"net"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// leanLoop is a loop with one connection that allocates nothing for a message:
// what was sent is followed by one read.
type leanLoop struct {
	box   chan Runner
	done  chan struct{}
	later []Runner
	buf   []byte

	tcp     *net.TCPConn
	fd      int
	driven  Driven
	sent    bool
	carried int // messages
}

// newLeanLoop starts a loop, which ends with the test, behind the relay.
func newLeanLoop(t testing.TB, f *fixture) *leanLoop {
	l := &leanLoop{box: make(chan Runner, 16), done: make(chan struct{}), buf: make([]byte, 64<<10)}
	go l.run()
	t.Cleanup(func() {
		f.close()
		close(l.box)
		<-l.done
	})
	return l
}

func (l *leanLoop) run() {
	defer close(l.done)
	for r := range l.box {
		r.Run()
		l.rest()
		if l.sent {
			l.sent = false
			if n, err := l.tcp.Read(l.buf); err != nil {
				l.Close()
			} else {
				l.driven.Received(l.buf[:n])
				l.carried++
			}
			l.rest()
		}
	}
}

// rest runs what was left for later.
func (l *leanLoop) rest() {
	for i := 0; i < len(l.later); i++ {
		l.later[i].Run()
	}
	l.later = l.later[:0]
}

func (l *leanLoop) Post(r Runner) bool { l.box <- r; return true }
func (l *leanLoop) Polled() time.Time  { return time.Time{} }
func (l *leanLoop) Later(r Runner)     { l.later = append(l.later, r) }

func (l *leanLoop) Watch(c *net.TCPConn, d Driven) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if err := raw.Control(func(fd uintptr) { l.fd = int(fd) }); err != nil {
		return err
	}
	done := make(chan struct{})
	l.box <- loopTask{func() {
		l.tcp, l.driven = c, d
		d.Watched(l)
	}, done}
	<-done
	return nil
}

func (l *leanLoop) Write(b []byte) (int, error) {
	l.sent = true
	return l.tcp.Write(b)
}

func (l *leanLoop) FD() int                        { return l.fd }
func (l *leanLoop) Close()                         { _ = l.tcp.Close(); l.driven.Closed(nil) }
func (l *leanLoop) Release() (*net.TCPConn, error) { return l.tcp, nil }

// submission submits a transaction on its loop.
type submission struct {
	t     testing.TB
	relay *Relay
	tx    *Transaction
}

func (s *submission) Run() {
	if err := s.relay.TrySubmit(s.tx); err != nil {
		s.t.Error(err)
	}
}

// resubmitOn returns a function that relays one message over a loop, the same
// every time.
func resubmitOn(t testing.TB, l *leanLoop, f *fixture, a *account.Account, size int) (send, release func()) {
	r := resubmitter{make(chan struct{}, 1)}
	tx := GetTransaction()
	tx.Account, tx.Done, tx.Loop = a, r, l
	tx.SetMail(codec.MailArgs{Path: []byte("from@example.com"), Size: -1})
	tx.AddRcpt(codec.RcptArgs{Path: []byte("to@example.com")})
	body := []byte(strings.Repeat("x", size))
	s := &submission{t, f.relay, tx}
	send = func() {
		refill(t, tx, body)
		l.box <- s
		<-r.done
	}
	for range 10 {
		send()
	}
	return send, tx.Release
}

func TestMessageOnLoopAllocations(t *testing.T) {
	f, s := newEcho(t)
	l := newLeanLoop(t, f)
	send, release := resubmitOn(t, l, f, s.account(f.accounts[0]), 10<<10)
	defer release()
	if n := testing.AllocsPerRun(500, send); n > mostAllocations {
		t.Errorf("%.1f allocations per message, want at most %d", n, mostAllocations)
	}
	if l.carried < 500 {
		t.Errorf("the loop has carried %d messages", l.carried)
	}
}

// BenchmarkOnLoop is BenchmarkRelay over a loop.
func BenchmarkOnLoop(b *testing.B) {
	for _, bm := range []struct {
		name string
		size int
	}{{"size=1KB", 1 << 10}, {"size=10KB", 10 << 10}} {
		b.Run(bm.name, func(b *testing.B) {
			f, s := newEcho(b)
			send, release := resubmitOn(b, newLeanLoop(b, f), f, s.account(f.accounts[0]), bm.size)
			defer release()
			b.SetBytes(int64(bm.size))
			b.ReportAllocs()
			for b.Loop() {
				send()
			}
		})
	}
}
