package loop

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/testkit"
)

// echoAcceptor has accepted sockets echo.
type echoAcceptor struct {
	stopped chan struct{}
	errors  chan error
}

func (a *echoAcceptor) Accepted(on *Loop, fd int, _ netip.AddrPort) { on.Serve(fd, newRecorder(echo)) }
func (a *echoAcceptor) Failed(err error) bool {
	select {
	case a.errors <- err:
	default:
	}
	return false
}
func (a *echoAcceptor) Stopped() { close(a.stopped) }

func listenOn(t *testing.T, e *Engine) (address string, a *echoAcceptor) {
	t.Helper()
	ln := testkit.Listen(t)
	address = ln.Addr().String()
	s, err := NewSocket(ln, "")
	if err != nil {
		t.Fatal(err)
	}
	a = &echoAcceptor{stopped: make(chan struct{}), errors: make(chan error, 100)}
	e.Listen(s, a)
	return address, a
}

// TestLoopsAreWoken has others post to loops, each waiting until it is done, while
// clients come, speak and go: nothing that is to be done is left lying by a loop that
// waits for its sockets.
func TestLoopsAreWoken(t *testing.T) {
	const posts = 2000
	e := startLoops(t, 2, nil)
	address, a := listenOn(t, e)
	var posters, clients sync.WaitGroup
	over := make(chan struct{})
	for _, l := range e.Loops() {
		for range 2 {
			posters.Go(func() {
				for range posts {
					do(t, l, func() {})
				}
			})
		}
	}
	for range 4 {
		clients.Go(func() {
			for {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				b := []byte("echo")
				for range 20 {
					if _, err := c.Write(b); err != nil {
						t.Error(err)
					}
					if _, err := io.ReadFull(c, b); err != nil {
						t.Error(err)
					}
				}
				_ = c.Close()
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
	e.StopListening()
	<-a.stopped
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Error("something still listens")
	}
}

// TestNextGoesOn: what is given to Next runs though nothing wakes the loop.
func TestNextGoesOn(t *testing.T) {
	l := startLoops(t, 1, nil).Loops()[0]
	done := make(chan struct{})
	left := 1000
	var again call
	again = func() {
		if left--; left > 0 {
			l.Next(again)
			return
		}
		close(done)
	}
	l.Post(again)
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("the loop did not go on")
	}
}

// TestServeIsSpread: accepted connections come to rest on both loops.
func TestServeIsSpread(t *testing.T) {
	e := startLoops(t, 2, nil)
	l := e.Loops()
	for range 40 {
		r := newRecorder(nil)
		connect(t, l[0], r)
		r.expect(t, "opened")
	}
	a, b := l[0].Load(), l[1].Load()
	if a+b != 40 || a > b+mayExceed(b)+1 || b > a+mayExceed(a)+1 {
		t.Errorf("%d and %d connections", a, b)
	}
}

// TestNotTaken: a descriptor that epoll refuses is closed, and told by Closed alone.
func TestNotTaken(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	fd, err := unix.Open(t.TempDir(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(nil)
	do(t, l, func() { l.Serve(fd, r) })
	if e := r.next(t); e.name != "closed" || e.err == nil {
		t.Errorf("told %q, %v", e.name, e.err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor is not closed: %v", err)
	}
	if n := l.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// provider is the other end of a stream.
func provider(t *testing.T, version uint16, talk func(*tls.Conn)) *Stream {
	t.Helper()
	ln := testkit.Listen(t)
	defer ln.Close()
	over := make(chan struct{})
	t.Cleanup(func() { <-over })
	go func() {
		defer close(over)
		c, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		talk(tls.Server(c, serverTLS()))
	}()
	tcp, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := NewStream(tcp.(*net.TCPConn))
	if err := s.StartTLS(t.Context(), clientTLS(version)); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAdopt: a stream that was talked over goes on on a loop, without the loss of an
// octet, whatever the peer has sent in the meantime.
func TestAdopt(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	for _, v := range versions[1:] {
		for _, ahead := range []string{"", "unsolicited"} {
			t.Run(versionName(v)+"/"+ahead, func(t *testing.T) {
				sent := make(chan struct{})
				s := provider(t, v, func(c *tls.Conn) {
					_, _ = io.WriteString(c, "greeting"+ahead)
					close(sent)
					b := make([]byte, 4)
					if _, err := io.ReadFull(c, b); err != nil {
						t.Errorf("%q, %v", b, err)
					}
					_, _ = c.Write(b)
					_ = c.Close()
				})
				<-sent
				b := make([]byte, len("greeting"))
				if _, err := io.ReadFull(s, b); err != nil || string(b) != "greeting" {
					t.Fatalf("%q, %v", b, err)
				}
				r := newRecorder(nil)
				if err := l.Adopt(s, r); err != nil {
					t.Fatal(err)
				}
				r.expect(t, "opened")
				if ahead != "" {
					r.receive(t, ahead)
				}
				do(t, l, func() { _ = r.conn.Write([]byte("ping")) })
				r.receive(t, "ping")
				r.expect(t, "end of input")
				do(t, l, r.conn.Close)
				r.expect(t, "closed")
				if n := l.Load(); n != 0 {
					t.Errorf("%d connections of clients", n)
				}
			})
		}
	}
}

// TestAdoptInVain: a stream that a loop cannot serve is closed.
func TestAdoptInVain(t *testing.T) {
	e, err := Start(Config{Loops: 1, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	l := e.Loops()[0]
	e.Close()
	s := provider(t, tls.VersionTLS13, func(c *tls.Conn) {
		if err := c.Handshake(); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the stream is still open")
		}
	})
	if err := l.Adopt(s, newRecorder(nil)); err == nil {
		t.Error("an ended loop adopts")
	}
	if l.Post(runnerFunc(func() {})) {
		t.Error("an ended loop takes a post")
	}
}

// TestProvidersFirst: of what is ready at once, connections to providers are told
// first.
func TestProvidersFirst(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	say := make(chan struct{})
	s := provider(t, tls.VersionTLS13, func(c *tls.Conn) {
		_ = c.Handshake()
		<-say
		_, _ = io.WriteString(c, "x")
		_, _ = c.Read(make([]byte, 1))
	})
	var order []string
	note := func(name string) func(*recorder, event) {
		return func(_ *recorder, e event) {
			if e.name == "received" {
				order = append(order, name)
			}
		}
	}
	client, up := newRecorder(note("client")), newRecorder(note("provider"))
	p := serveOver(t, l, 0, client)
	if err := l.Adopt(s, up); err != nil {
		t.Fatal(err)
	}
	up.expect(t, "opened")
	do(t, l, func() { // both come in while the loop is here
		_, _ = p.Write([]byte("x"))
		close(say)
		for client.conn.Unread() != InputUnread || up.conn.Unread() != InputUnread {
		}
	})
	client.receive(t, "x")
	up.receive(t, "x")
	if len(order) != 2 || order[0] != "provider" {
		t.Errorf("told in the order %v", order)
	}
	do(t, l, up.conn.Close)
}

// TestHandshakesGiveWay: beyond the bound the oldest handshake ends, told with why.
func TestHandshakesGiveWay(t *testing.T) {
	e := startLoops(t, 1, nil)
	e.handshakes.limit = 2
	l := e.Loops()[0]
	cfg := serverTLS()
	hello := make(chan struct{})
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { <-hello; return nil, nil }
	var rs []*recorder
	for range 3 {
		r := newRecorder(nil)
		r.on = func(r *recorder, e event) {
			if e.name == "opened" {
				r.conn.StartTLS(cfg)
			}
		}
		tcp := connect(t, l, r)
		go func() { _ = tls.Client(tcp, clientTLS(tls.VersionTLS13)).Handshake() }()
		rs = append(rs, r)
		for len(rs) < 3 && e.Handshakes() < len(rs) {
			do(t, l, func() {})
		}
	}
	rs[0].expect(t, "opened")
	if e := rs[0].next(t); e.name != "secured" || e.err != ErrGaveWay {
		t.Errorf("the oldest is told %q, %v", e.name, e.err)
	}
	rs[0].expect(t, "closed")
	close(hello)
	for _, r := range rs[1:] {
		r.expect(t, "opened")
		if e := r.next(t); e.name != "secured" || e.err != nil {
			t.Errorf("told %q, %v", e.name, e.err)
		}
	}
}

// TestBadHandshakes: what is no handshake, or one that stops half-way, ends with an
// error and leaves nothing open.
func TestBadHandshakes(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	for name, in := range map[string]string{
		"clear":       "EHLO client.example\r\n",
		"huge record": "\x16\x03\x01\xff\xff",
		"half":        "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
		"half record": "\x16\x03\x01\x00\x50\x01",
		"nothing":     "",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecorder(nil)
			r.on = func(r *recorder, e event) {
				if e.name == "opened" {
					r.conn.StartTLS(serverTLS())
				}
			}
			tcp := connect(t, l, r)
			_, _ = io.WriteString(tcp, in)
			_ = tcp.CloseWrite()
			r.expect(t, "opened")
			if e := r.next(t); e.name != "secured" || e.err == nil {
				t.Fatalf("told %q, %v", e.name, e.err)
			}
			r.expect(t, "closed")
		})
	}
	for e.Handshakes() > 0 {
		do(t, l, func() {})
	}
}
