package wait

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"

	"xoauth2-proxy/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConns has connections of two listeners: one listener ends, all are
// disconnected, and Close ends the rest.
func TestConns(t *testing.T) {
	c := NewConns()
	begun := make(chan struct{}, 2)
	hold := func(conn *net.TCPConn) func() {
		begun <- struct{}{}
		return func() { io.Copy(io.Discard, conn) }
	}
	first, second := testkit.Listen(t), testkit.Listen(t)
	for _, ln := range []net.Listener{first, second} {
		if err := c.Serve(ln, hold); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		<-begun
	}
	first.Close()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.UntilNone(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("with open connections: %v", err)
	}
	c.Disconnect()
	if err := c.UntilNone(t.Context()); err != nil {
		t.Error(err)
	}
	conn, err := net.Dial("tcp", second.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-begun
	c.Close()
	<-c.Done()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("Close left a connection open")
	}
	if _, err := net.Dial("tcp", second.Addr().String()); err == nil {
		t.Error("Close left a listener open")
	}
	late := testkit.Listen(t)
	if err := c.Serve(late, hold); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := late.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener of a closed server: %v", err)
	}
}
