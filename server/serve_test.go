package server

import (
	"errors"
	"sync"
	"testing"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/queue"
)

// TestPollerIsNotFound: what is not like a loop of gnet's is refused.
func TestPollerIsNotFound(t *testing.T) {
	type fakePoller struct {
		fd, efd                              int
		wakeupCall                           int64 // not the type that is known
		urgentAsyncTaskQueue, asyncTaskQueue queue.AsyncTaskQueue
	}
	type fakeLoop struct {
		connections struct{}
		poller      *fakePoller
	}
	type fakeConn struct {
		gnet.Conn
		loop *fakeLoop
	}
	found := &fakePoller{fd: 3, efd: 4, wakeupCall: 0, urgentAsyncTaskQueue: queue.NewLockFreeQueue(), asyncTaskQueue: queue.NewLockFreeQueue()}
	for i, c := range []gnet.Conn{&fakeConn{loop: &fakeLoop{struct{}{}, found}}, &fakeConn{loop: &fakeLoop{}}, &fakeConn{}, nil} {
		if p, err := pollerOf(c); !errors.Is(err, errPoller) {
			t.Errorf("%d: %+v, %v", i, p, err)
		}
	}
}

// TestServingLoopsAreWoken has others post to loops, each waiting until it is
// done, while clients come, ask and go: nothing that is to be done is left lying
// by a loop that waits for its sockets.
func TestServingLoopsAreWoken(t *testing.T) {
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
