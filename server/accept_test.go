package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream"
)

// failing is a listening socket whose accept fails some times first.
type failing struct {
	loop.Socket
	mu   sync.Mutex
	errs []error
}

func (f *failing) Accept() (int, netip.AddrPort, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errs) == 0 {
		return f.Socket.Accept()
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return -1, netip.AddrPort{}, os.NewSyscallError("accept", err)
}

// TestAcceptErrors has accept fail as it does when the system runs out of
// something: that is counted and waited out, and the next client is served.
func TestAcceptErrors(t *testing.T) {
	k := newStack(t)
	socket, err := new(loop.Passed).Open("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	errs := []error{syscall.ENOMEM, syscall.ENOBUFS, syscall.ECONNABORTED, syscall.EPERM, syscall.EPROTO, syscall.ENOMEM}
	own := &listener{srv: k.Server, socket: &failing{Socket: socket, errs: errs}, policy: k.listeners[0].policy, sources: k.listeners[0].sources}
	own.ehlo.Store(k.listeners[0].ehlo.Load())
	k.accept(own)
	c := dialTo(t, socket.Addr().String())
	c.Expect("220")
	c.Cmd("EHLO client.example.com", "250")
	c.Login(gmailUser, "any")
	c.Mail("a@example.com", "b@example.com")
	c.Data("text\r\n", "250 2.0.0")
	if n := k.back.Metric(t, "smtp_accept_errors_total"); n != float64(len(errs)) {
		t.Errorf("the counter says %v, want %d", n, len(errs))
	}
	c.Cmd("QUIT", "221")
}

// TestAcceptedSockets looks at what an accepted socket has from the listening one,
// which may be passed by systemd, and where the client is said to be.
func TestAcceptedSockets(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		socket, err := new(loop.Passed).Open(address)
		if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
			t.Logf("%s: this machine has no IPv6", address)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		to := socket.Addr().(*net.TCPAddr)
		if to.IP.IsUnspecified() {
			to.IP = net.IPv6loopback
		}
		if _, _, err := socket.Accept(); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("%s: before any client came: %v", address, err)
		}
		c, err := net.DialTCP("tcp", nil, to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fd, remote, err := socket.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if want := c.LocalAddr().String(); remote.String() != want {
			t.Errorf("%s: the client is at %v, want %s", address, remote, want)
		}
		for _, o := range []struct{ level, name, want int }{{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 20}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3}} {
			if got, err := unix.GetsockoptInt(fd, o.level, o.name); err != nil || got != o.want {
				t.Errorf("%s: option %d of level %d is %d, %v, want %d", address, o.name, o.level, got, err, o.want)
			}
		}
		for _, o := range []struct{ get, want int }{{unix.F_GETFL, unix.O_NONBLOCK}, {unix.F_GETFD, unix.FD_CLOEXEC}} {
			if got, err := unix.FcntlInt(uintptr(fd), o.get, 0); err != nil || got&o.want == 0 {
				t.Errorf("%s: flags %#x, %v, want %#x among them", address, got, err, o.want)
			}
		}
		if err := errors.Join(unix.Close(fd), socket.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestBothFamiliesOnOnePort: 0.0.0.0 takes IPv4 only, and so leaves the port to [::].
func TestBothFamiliesOnOnePort(t *testing.T) {
	first, err := new(loop.Passed).Open("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := new(loop.Passed).Open(fmt.Sprintf("[::]:%d", first.Addr().(*net.TCPAddr).Port))
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("NOT TESTED: this machine has no IPv6")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

// full is a relay whose queue is full.
type full struct{ Relay }

// Stuck implements Relay.
func (full) Stuck() bool { return false }

func (full) Expect(*account.Account, *loop.Loop) {}

func (full) TrySubmit(*upstream.Transaction) error { return upstream.ErrQueueFull }

// TestQueueFull answers what the relay cannot take: at end-of-data, at the last
// chunk, and for recipients that would go to the provider at once. The session
// goes on, and nothing is kept.
func TestQueueFull(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Loops = 1 }))
	c := k.login(t, gmailUser)
	k.onLoops(t, func(*eventLoop) { k.Server.relay = full{} })
	for range 2 {
		c.Mail("a@example.com", "b@example.com")
		c.Data("text\r\n", "451 4.3.2")
		c.Mail("a@example.com", "b@example.com")
		c.Send("BDAT 6 LAST\r\ntext\r\n")
		c.Expect("451 4.3.2")
		c.Mail("a@example.com", "b@example.com")
		c.Cmd("RCPT TO:<c@example.com>", "451 4.3.2")
		c.Cmd("RSET", "250")
	}
	if n := k.budget.Used(); n != 0 {
		t.Errorf("%d octets are kept", n)
	}
	k.onLoops(t, func(*eventLoop) { k.Server.relay = k.relay })
	c.Mail("a@example.com", "b@example.com")
	c.Data("text\r\n", "250 2.0.0")
	c.Cmd("QUIT", "221")
	provider.Messages(t, k.sandbox, 1)
}

// TestNotTaken gives a loop something that epoll does not take: it is closed and
// counted, and the next client is served.
func TestNotTaken(t *testing.T) {
	k := newStack(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	k.onLoops(t, func(l *eventLoop) {
		if l == k.loops[0] {
			k.listeners[0].Accepted(l.Loop, fd, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 1))
		}
	})
	testkit.Eventually(t, "the session is gone", func() bool { return k.Active() == 0 })
	if n := k.back.Metric(t, "smtp_accept_errors_total"); n != 1 {
		t.Errorf("the counter says %v, want 1", n)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor: %v", err)
	}
	c := k.login(t, gmailUser)
	c.Cmd("QUIT", "221")
}
