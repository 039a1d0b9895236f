package server

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// dialUnix connects to a unix socket.
func dialUnix(t testing.TB, path string) *client {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

// TestUnixSocket sends mail over a unix socket, whose file goes with the server.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "smtp")
	k := newStack(t, config(func(cfg *Config) {
		// Neither list has anything to do with a unix socket.
		cfg.Listeners = []Listener{{Address: "unix:" + path, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, MaxPerSource: 1}}
	}))
	dialUnix(t, path).Expect("220")
	c := dialUnix(t, path)
	c.Expect("220")
	c.Cmd("EHLO client.example.com", "250")
	c.Login(gmailUser, "any")
	c.Mail("a@example.com", "b@example.com")
	c.Data("text\r\n", "250 2.0.0")
	c.Cmd("QUIT", "221")
	c.ExpectEnd()
	provider.Messages(t, k.sandbox, 1)
	k.back.Stop()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestIPv6 sends mail over a listener of that family, which looks at the source
// as any other does.
func TestIPv6(t *testing.T) {
	if ln, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this host has no IPv6: ", err)
	} else if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	k := newStack(t, config(func(cfg *Config) {
		cfg.Listeners = []Listener{
			{Address: "[::1]:0", Allow: []netip.Prefix{netip.MustParsePrefix("::1/128")}, MaxPerSource: 1},
			{Address: "[::1]:0", Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		}
	}))
	c := k.dial(t)
	c.Expect("220")
	c.Cmd("EHLO [IPv6:::1]", "250")
	c.Login(gmailUser, "any")
	c.Mail("a@[IPv6:2001:db8::1]", "b@example.com")
	c.Data("text\r\n", "250 2.0.0")
	k.dial(t).Expect("421 4.7.0")
	k.dialAt(t, 1).Expect("421 4.7.1")
	c.Cmd("QUIT", "221")
	provider.Messages(t, k.sandbox, 1)
}

// leftover makes the file of a socket whose process was killed.
func leftover(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestUnixSocketStale starts over a socket of a killed process, but
// not over one that a process listens on, nor over another file.
func TestUnixSocketStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "smtp")
	leftover(t, path)
	newStack(t, config(func(cfg *Config) { cfg.Listeners = []Listener{{Address: "unix:" + path}} }))
	dialUnix(t, path).Expect("220")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{path, file} {
		cfg := DefaultConfig()
		cfg.Listeners = []Listener{{Address: "unix:" + taken}}
		f := &feeder{}
		srv, err := New(cfg, account.NewStore(nil), f, f, zap.NewNop(), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Start(); err == nil {
			t.Errorf("the server started over %s", taken)
		}
	}
	dialUnix(t, path).Expect("220") // the first one still listens
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}

// socketsEnv makes this test binary the server of TestPassedSockets.
const socketsEnv = "SERVER_TEST_SOCKETS"

// serveOnPassedSockets is the other process of TestPassedSockets. What is in
// LISTEN_FDS is for the process named in LISTEN_PID, which only it can know.
func serveOnPassedSockets() error {
	if err := os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid())); err != nil {
		return err
	}
	cfg := DefaultConfig()
	cfg.Loops = 1
	for _, name := range strings.Split(os.Getenv(socketsEnv), ",") {
		cfg.Listeners = append(cfg.Listeners, Listener{Address: "systemd:" + name})
	}
	f := &feeder{}
	srv, err := New(cfg, account.NewStore(nil), f, f, zap.NewNop(), metrics.NewSet())
	if err != nil {
		return err
	}
	if err := srv.Start(); err != nil {
		fmt.Println("error:", err)
		return nil
	}
	for _, a := range srv.Addrs() {
		fmt.Println(a)
	}
	_, err = io.Copy(io.Discard, os.Stdin) // until the test ends
	return err
}

// TestPassedSockets passes sockets to another process as systemd does, a TCP and
// a unix one, and one that no listener asks for, which is closed.
func TestPassedSockets(t *testing.T) {
	tcp := testkit.Listen(t)
	path := filepath.Join(t.TempDir(), "smtp")
	local, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	spare := testkit.Listen(t)
	var files []*os.File
	for _, ln := range []interface{ File() (*os.File, error) }{tcp.(*net.TCPListener), local.(*net.UnixListener), spare.(*net.TCPListener)} {
		file, err := ln.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files = append(files, file)
	}
	start := func(names string) (line func() string) {
		return startChild(t, files, socketsEnv+"="+names, "LISTEN_FDS=3", "LISTEN_FDNAMES=smtp:local:spare")
	}
	if got := start("other")(); !strings.Contains(got, `no listening socket of name "other"`) {
		t.Errorf("a socket that is not there: %q", got)
	}
	if got := start("smtp,smtp")(); !strings.Contains(got, `of name "smtp"`) {
		t.Errorf("a socket for two listeners: %q", got)
	}
	line := start("smtp,local")
	if got := line(); got != tcp.Addr().String() {
		t.Errorf("it listens on %s, want %s", got, tcp.Addr())
	}
	if got := line(); got != path {
		t.Errorf("it listens on %s, want %s", got, path)
	}
	dialTo(t, tcp.Addr().String()).Expect("220")
	dialUnix(t, path).Expect("220")
	_ = files[2].Close()
	_ = spare.Close()
	testkit.Eventually(t, "no process listens on the spare socket", func() bool {
		c, err := net.DialTimeout("tcp", spare.Addr().String(), time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}
