package systemd

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/testkit"
)

// manager returns what a service manager is told.
func manager(t *testing.T) <-chan string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	told := make(chan string, 100)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			told <- string(b[:n])
		}
	}()
	return told
}

// TestService: the main process says how it does, and another one nothing.
func TestService(t *testing.T) {
	told := manager(t)
	s := New(zap.NewNop(), true)
	want := func(pattern string) {
		t.Helper()
		if got := testkit.Receive(t, pattern, told); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			t.Errorf("%q, want %s", got, pattern)
		}
	}
	s.Ready()
	want("READY=1\nWATCHDOG=1")
	s.Reloading()
	want(`RELOADING=1\nMONOTONIC_USEC=\d+`)
	s.Reloaded()
	want("READY=1")
	s.MainIs(1)
	want("MAINPID=1")
	s.Reloading() // these are not told
	s.Reloaded()
	s.Stopping()
	s.MainIs(os.Getpid())
	want(fmt.Sprintf("MAINPID=%d\nREADY=1", os.Getpid()))
	s.Stopping()
	want("STOPPING=1")
	if len(told) > 0 {
		t.Errorf("more is told: %q", <-told)
	}
}

// TestReassure: systemd hears of the process while it is alive and the main one.
func TestReassure(t *testing.T) {
	told := manager(t)
	t.Setenv("WATCHDOG_USEC", fmt.Sprint(30*time.Millisecond.Microseconds()))
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	s := New(zap.NewNop(), false)
	looked := make(chan bool, 1000)
	stop := s.Reassure(func() bool { looked <- true; return true })
	for range 3 {
		testkit.Receive(t, "a look", looked)
	}
	if len(told) > 0 {
		t.Errorf("a process that is not the main one says %q", <-told)
	}
	s.Ready()
	testkit.Receive(t, "READY=1", told)
	if got := testkit.Receive(t, "a sign of life", told); got != "WATCHDOG=1" {
		t.Errorf("%q", got)
	}
	stop()
}
