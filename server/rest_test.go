package server

import (
	"sync"
	"testing"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/queue"
)

// TestPollerIsFound: the parts of gnet's poller that we use are there in the
// version of gnet that is used.
func TestPollerIsFound(t *testing.T) {
	k := newStack(t)
	for i, l := range k.loops {
		p := l.poller
		if p.epoll < 0 || p.woken == nil || p.tasks[0] == nil || p.tasks[1] == nil || *p.tasks[0] == nil || *p.tasks[1] == nil {
			t.Errorf("loop %d: %+v", i, p)
		}
	}
}

// TestPollerWithoutDescriptor: where there is no descriptor to wait for, a loop
// does not wait.
func TestPollerWithoutDescriptor(t *testing.T) {
	type fakePoller struct {
		fd                                   uintptr // not the type that is known
		wakeupCall                           int32
		urgentAsyncTaskQueue, asyncTaskQueue queue.AsyncTaskQueue
	}
	type fakeLoop struct{ poller *fakePoller }
	type fakeConn struct {
		gnet.Conn
		loop *fakeLoop
	}
	found := &fakePoller{fd: 3, wakeupCall: 0, urgentAsyncTaskQueue: queue.NewLockFreeQueue(), asyncTaskQueue: queue.NewLockFreeQueue()}
	for i, c := range []gnet.Conn{&fakeConn{loop: &fakeLoop{found}}, &fakeConn{loop: &fakeLoop{}}, &fakeConn{}, nil} {
		if p := pollerOf(c); p.epoll >= 0 || p.woken != nil {
			t.Errorf("%d: %+v", i, p)
		}
	}
}

// TestWithoutPoller sends mail through loops that have not found them.
func TestWithoutPoller(t *testing.T) {
	k := newStack(t)
	k.onLoops(t, func(l *loop) { l.poller = poller{epoll: -1} })
	for range 2 * len(k.loops) {
		c := k.login(t, gmailUser)
		for range 3 {
			c.mail("a@example.com", "b@example.com")
			c.message("text\r\n", "250 2.0.0")
		}
	}
	k.messages(t, 2*len(k.loops)*3)
}

// TestRestingLoopsAreWoken has others post to loops, each waiting until it is
// done, while clients come, ask and go: nothing that is to be done is left lying
// by a loop that waits for its sockets.
func TestRestingLoopsAreWoken(t *testing.T) {
	const posts = 2000
	k := newStack(t)
	var posters, clients sync.WaitGroup
	over := make(chan struct{})
	for _, l := range k.loops {
		for range 2 {
			posters.Go(func() {
				for range posts {
					done := make(signalRun)
					if !l.Post(done) {
						t.Error("the loop takes no messages")
						return
					}
					<-done
				}
			})
		}
	}
	for range 4 {
		clients.Go(func() {
			for {
				c := k.dial(t)
				c.expect("220")
				for range 20 {
					c.cmd("NOOP", "250")
				}
				c.cmd("QUIT", "221")
				c.expectEnd()
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	posters.Wait()
	close(over)
	clients.Wait()
}

// signalRun tells that it was run.
type signalRun chan struct{}

func (s signalRun) Run() { close(s) }
