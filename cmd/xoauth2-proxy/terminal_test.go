package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"xoauth2-proxy/internal/app/apptest"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: its screen shows the output of a program, and the
// typed keys unless the program turns their echo off.
type terminal struct {
	t      *testing.T
	master *os.File
	inside *os.File // what a program has as its terminal

	mu     sync.Mutex // guards the two below
	screen strings.Builder
	more   chan struct{} // closed when there is more
	ended  chan struct{} // closed at the end of the screen
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // so that Close ends a Read
	if err != nil {
		t.Skipf("there are no pseudo-terminals: %v", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals: %v", err)
	}
	if err := unix.IoctlSetWinsize(int(inside.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}); err != nil {
		t.Fatal(err)
	}
	tty := &terminal{t: t, master: master, inside: inside, more: make(chan struct{}), ended: make(chan struct{})}
	go tty.watch()
	return tty
}

// watch reads the screen, until the program's side is closed.
func (tty *terminal) watch() {
	defer close(tty.ended)
	b := make([]byte, 4096)
	for {
		n, err := tty.master.Read(b)
		tty.mu.Lock()
		tty.screen.Write(b[:n])
		close(tty.more)
		tty.more = make(chan struct{})
		tty.mu.Unlock()
		if err != nil { // EIO when the other side is closed
			return
		}
	}
}

// waitFor waits until text is on the screen.
func (tty *terminal) waitFor(text string) {
	for {
		tty.mu.Lock()
		more, there := tty.more, strings.Contains(tty.screen.String(), text)
		tty.mu.Unlock()
		if there {
			return
		}
		select {
		case <-more:
		case <-tty.ended:
			return
		}
	}
}

// run runs the program with its standard error, and its standard input too, at
// the terminal. typed are the answers to questions, each with the question it
// waits for.
func (tty *terminal) run(typed [][2]string, args ...string) (code int, screen, stdout string) {
	tty.t.Helper()
	oldIn, oldErr, oldOut := os.Stdin, os.Stderr, os.Stdout
	out, in, err := os.Pipe()
	if err != nil {
		tty.t.Fatal(err)
	}
	os.Stdin, os.Stderr, os.Stdout = tty.inside, tty.inside, in
	var typing sync.WaitGroup
	typing.Go(func() {
		for _, answer := range typed {
			tty.waitFor(answer[0])
			_, _ = io.WriteString(tty.master, answer[1])
		}
	})
	written := make(chan string)
	go func() {
		b, _ := io.ReadAll(out)
		written <- string(b)
	}()
	code = run(args)
	os.Stdin, os.Stderr, os.Stdout = oldIn, oldErr, oldOut
	_, _ = in.Close(), tty.inside.Close()
	stdout = <-written
	<-tty.ended
	typing.Wait()
	_ = out.Close()
	return code, tty.screen.String(), stdout
}

// withInput runs the program with that standard input.
func withInput(t *testing.T, input string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	file := t.TempDir() + "/in"
	apptest.WriteFile(t, file, input)
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	old := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = old }()
	return runCLI(t, args...)
}

// TestVerifyShowsItsProgress verifies accounts at a terminal: a bar counts them on
// standard error and is gone at the end. The table is as without one.
func TestVerifyShowsItsProgress(t *testing.T) {
	_, f := apptest.NewSandbox(t, "a@gmail.com", "b@gmail.com", "c@outlook.com")
	args := with(f, "accounts", "verify", "--parallel", "1")
	code, screen, stdout := newTerminal(t).run(nil, args...)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	apptest.CheckParts(t, screen, "verifying", "(1/3", "(2/3", "3 of 3 accounts work")
	last := screen[strings.LastIndex(screen, "verifying"):]
	if cleared := regexp.MustCompile(`\r\s*\r|\x1b\[2K`); !cleared.MatchString(last) {
		t.Errorf("the bar is left on the screen: %q", last)
	}
	_, plain, said := runCLI(t, args...)
	if stdout != plain {
		t.Errorf("the table is %q, and %q without a terminal", stdout, plain)
	}
	if strings.Contains(said, "verifying") {
		t.Errorf("a bar without a terminal: %q", said)
	}
}
