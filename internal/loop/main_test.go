package loop

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/testkit"
)

// TestMain fails when a test leaves a goroutine. The ones that it
// ignores belong to a worker pool that package gnet starts when it is loaded.
func TestMain(m *testing.M) {
	testkit.VerifyNoLeaks(m)
}

// patience bounds what is waited for, so that a failing test ends.
const patience = testkit.Patience

// startLoops starts n loops for the test.
func startLoops(t testing.TB, n int, change func(*Config)) *Engine {
	t.Helper()
	cfg := Config{Loops: n, Log: zap.NewNop()}
	if change != nil {
		change(&cfg)
	}
	e, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// do runs f on the loop and waits for it.
func do(t testing.TB, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(runnerFunc(func() { defer close(done); f() })) {
		t.Fatal("the loop takes nothing")
	}
	<-done
}

// event is what a recorder was told.
type event struct {
	name string
	data string
	err  error
}

// recorder is a Handler that passes on what it is told.
type recorder struct {
	conn   *Conn
	events chan event
	on     func(r *recorder, e event) // on the loop; may be nil
}

func newRecorder(on func(*recorder, event)) *recorder {
	return &recorder{events: make(chan event, 4096), on: on}
}

func (r *recorder) tell(e event) {
	if r.on != nil {
		r.on(r, e)
	}
	r.events <- e
}

func (r *recorder) Opened(c *Conn)    { r.conn = c; r.tell(event{name: "opened"}) }
func (r *recorder) Received(b []byte) { r.tell(event{name: "received", data: string(b)}) }
func (r *recorder) Secured(err error) { r.tell(event{name: "secured", err: err}) }
func (r *recorder) EndOfInput()       { r.tell(event{name: "end of input"}) }
func (r *recorder) Drained()          { r.tell(event{name: "drained"}) }
func (r *recorder) Closed(err error)  { r.tell(event{name: "closed", err: err}) }

// next is the next event, those of octets received joined.
func (r *recorder) next(t *testing.T) event {
	t.Helper()
	return testkit.Receive(t, "the handler is told something", r.events)
}

// expect waits for events of these names. Octets received before them are joined
// and returned.
func (r *recorder) expect(t *testing.T, names ...string) (data string) {
	t.Helper()
	for _, name := range names {
		e := r.next(t)
		for e.name == "received" && name != "received" {
			data += e.data
			e = r.next(t)
		}
		if e.name != name {
			t.Fatalf("told %q (%q, %v), want %q", e.name, e.data, e.err, name)
		}
		data += e.data
	}
	return data
}

// receive waits for octets.
func (r *recorder) receive(t *testing.T, want string) {
	t.Helper()
	got := ""
	for len(got) < len(want) {
		got += r.expect(t, "received")
	}
	if got != want {
		t.Fatalf("received %q, want %q", got, want)
	}
}

// connect gives a client's end of a TCP connection whose other end a loop serves.
func connect(t *testing.T, l *Loop, h Handler) *net.TCPConn {
	t.Helper()
	ln := testkit.Listen(t)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := duplicate(server.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	do(t, l, func() { l.Serve(fd, h) })
	_ = client.SetDeadline(time.Now().Add(patience))
	return client.(*net.TCPConn)
}

// identity is a certificate for localhost, and who trusts it.
var identity = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	cert := testkit.Certificate("localhost")
	return cert, testkit.Roots(cert)
})

func serverTLS() *tls.Config {
	cert, _ := identity()
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

func clientTLS(version uint16) *tls.Config {
	_, roots := identity()
	return &tls.Config{ServerName: "localhost", RootCAs: roots, MinVersion: version, MaxVersion: version}
}

// versions of TLS; 0 is in clear.
var versions = []uint16{0, tls.VersionTLS12, tls.VersionTLS13}

func versionName(v uint16) string {
	if v == 0 {
		return "clear"
	}
	return fmt.Sprintf("TLS 1.%d", v-tls.VersionTLS10)
}

// peer is a client's end.
type peer struct {
	tcp *net.TCPConn
	net.Conn
}

// serveOver has a loop serve r over a version of TLS, with the handshake done.
func serveOver(t *testing.T, l *Loop, version uint16, r *recorder) *peer {
	t.Helper()
	if version == 0 {
		tcp := connect(t, l, r)
		r.expect(t, "opened")
		return &peer{tcp, tcp}
	}
	was := r.on
	r.on = func(r *recorder, e event) {
		if e.name == "opened" {
			r.conn.StartTLS(serverTLS())
		}
		if was != nil {
			was(r, e)
		}
	}
	tcp := connect(t, l, r)
	c := tls.Client(tcp, clientTLS(version))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	r.expect(t, "opened")
	if e := r.next(t); e.name != "secured" || e.err != nil {
		t.Fatalf("told %q, %v", e.name, e.err)
	}
	return &peer{tcp, c}
}
