package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
)

// childEnv makes this test binary the server of TestOutOfDescriptors.
const childEnv = "SERVER_TEST_DESCRIPTORS"

// runAsChild is the other process of TestOutOfDescriptors, a server that may
// have a few descriptors only, or the work of TestPassedSockets. It reports whether
// it was to run.
func runAsChild() bool {
	serve := serveWithFewDescriptors
	switch {
	case os.Getenv(socketsEnv) != "":
		serve = serveOnPassedSockets
	case os.Getenv(childEnv) == "":
		return false
	}
	if err := serve(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return true
}

func serveWithFewDescriptors() error {
	cfg := DefaultConfig()
	cfg.Loops = 1
	cfg.Listeners = []Listener{{Address: "127.0.0.1:0"}}
	f := &feeder{}
	srv, err := New(cfg, account.NewStore(nil), f, f, zap.NewNop(), metrics.NewSet())
	if err != nil {
		return err
	}
	if err := srv.Start(); err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: 40, Max: 40}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	fmt.Println(srv.Addrs()[0])
	_, err = io.Copy(io.Discard, os.Stdin) // until the test ends
	return err
}

// startChild starts this test binary with more in its environment and those files open,
// until the test ends. It returns what reads a line of its output.
func startChild(t *testing.T, files []*os.File, env ...string) (line func() string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env, child.ExtraFiles, child.Stderr = append(os.Environ(), env...), files, os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := child.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	lines := bufio.NewReader(stdout)
	return func() string {
		t.Helper()
		text, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(text)
	}
}

// TestOutOfDescriptors takes all descriptors of a server: it answers those that
// it cannot serve, keeps the sessions it has, and serves new ones again when
// there is room.
func TestOutOfDescriptors(t *testing.T) {
	addr := startChild(t, nil, childEnv+"=1")()

	first := dialTo(t, addr)
	first.Expect("220")
	var others []net.Conn
	served, refused := 0, 0
	for range 100 {
		c, err := net.DialTimeout("tcp", addr, testkit.Patience)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, c)
		if err := c.SetDeadline(time.Now().Add(testkit.Patience)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 200)
		n, _ := c.Read(b)
		switch {
		case strings.HasPrefix(string(b[:n]), "220 "):
			served++
		case strings.HasPrefix(string(b[:n]), "421 4."):
			refused++
		case n > 0:
			t.Errorf("the greeting is %q", b[:n])
		}
	}
	if served == 0 || refused == 0 {
		t.Errorf("of 100 clients %d were served and %d answered 421", served, refused)
	}
	if rest := 100 - served - refused; rest > 2 { // those that came while the last descriptor went
		t.Errorf("%d clients were closed without an answer", rest)
	}
	first.Cmd("EHLO client.example.com", "250")
	for _, c := range others {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	testkit.Eventually(t, "a new client is served", func() bool {
		c := dialTo(t, addr)
		defer c.TCP.Close()
		got, err := c.Reply()
		return err == nil && strings.HasPrefix(got, "220 ")
	})
	first.Cmd("QUIT", "221")
}
