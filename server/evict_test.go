package server

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestEvict: sessions that are to leave get 421 when they are in no transaction, and a message
// that runs gets its answer first. The server takes new clients.
func TestEvict(t *testing.T) {
	k := newStack(t)
	release := sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, For: sandbox.Duration(300 * time.Millisecond)}
	provider.Faults(t, k.sandbox, release)
	fresh, ready, open, running := k.dial(t), k.login(t, gmailUser), k.login(t, outlookUser), k.login(t, gmailUser)
	fresh.Expect("220")
	open.Mail("open@example.com", "b@example.com")
	running.Mail("running@example.com", "b@example.com")
	running.Cmd("DATA", "354")
	running.Send("text\r\n.\r\n")
	provider.Fired(t, k.sandbox, "think", 1)

	k.Evict(0)
	for _, c := range []*client{fresh, ready} {
		c.Expect("421 4.3.2")
		c.ExpectEnd()
	}
	open.Cmd("RCPT TO:<c@example.com>", "250 2.1.5")
	open.Data("text\r\n", "250 2.0.0")
	running.Expect("250 2.0.0")
	for _, c := range []*client{open, running} {
		c.Expect("421 4.3.2")
		c.ExpectEnd()
	}
	provider.Messages(t, k.sandbox, 2)
	k.login(t, gmailUser).Cmd("NOOP", "250")
}

// TestEvictFreshLast: sessions that have begun no transaction have their turns after all others.
func TestEvictFreshLast(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Loops = 1 }))
	const each = 20
	for range each {
		k.login(t, gmailUser)
		k.login(t, gmailUser).Mail("a@example.com")
		k.dial(t).Expect("220")
	}
	k.Evict(time.Hour)
	k.onLoops(t, func(l *eventLoop) {
		var begun []int // of each session, in the order of the turns
		end := l.Now() + loop.Ticks(2*time.Hour)
		for s, ok := l.turns.Next(end); ok; s, ok = l.turns.Next(end) {
			begun = append(begun, s.messages)
		}
		if want := slices.Concat(slices.Repeat([]int{1}, each), slices.Repeat([]int{0}, 2*each)); !slices.Equal(begun, want) {
			t.Errorf("the sessions that end have begun so many transactions: %v", begun)
		}
	})
}

// TestResumeSpares: after Resume the sessions whose turn has not come stay.
func TestResumeSpares(t *testing.T) {
	k := newStack(t)
	c := k.login(t, gmailUser)
	k.Pause()
	k.Evict(time.Hour)
	k.Resume()
	c.Mail("a@example.com", "b@example.com")
	c.Data("text\r\n", "250 2.0.0")
	k.login(t, gmailUser).Cmd("NOOP", "250")
	for _, l := range k.loops {
		left := make(chan int)
		l.Post(task{do: func() { left <- l.turns.Left() }})
		if n := testkit.Receive(t, "the turns", left); n != 0 {
			t.Errorf("%d are still to leave", n)
		}
	}
}

// TestPauseHandsOver has two servers with the same sockets: while neither accepts a client
// waits, and is served by the one that resumes. The file of a unix socket goes with the last
// one.
func TestPauseHandsOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "smtp")
	addresses := []Listener{{Address: "127.0.0.1:0"}, {Address: "unix:" + path}, {Address: "127.0.0.1:0"}}
	older := newStack(t, config(func(cfg *Config) { cfg.Listeners, cfg.Hostname = addresses, "older.example.com" }))
	fds, err := older.Duplicates()
	if err != nil {
		t.Fatal(err)
	}
	var passed loop.Passed
	for i, fd := range fds {
		if err := passed.Inherit(addresses[i].Address, os.NewFile(uintptr(fd), "passed")); err != nil {
			t.Fatal(err)
		}
	}
	newer := newStack(t, config(func(cfg *Config) {
		cfg.Listeners, cfg.Hostname, cfg.Passed, cfg.Paused = addresses, "newer.example.com", &passed, true
	}))
	for i, a := range newer.Addrs() {
		if a.String() != older.Addrs()[i].String() {
			t.Fatalf("listener %d: %v, not %v", i, a, older.Addrs()[i])
		}
	}
	dial := func() (all []*client) {
		for _, a := range older.Addrs() {
			conn, err := net.Dial(a.Network(), a.String())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, newClient(t, conn))
		}
		return all
	}
	greeted := func(by string, all []*client) {
		t.Helper()
		for _, c := range all {
			c.Expect("220 " + by)
			c.Cmd("QUIT", "221")
		}
	}
	settled := func(k *stack) { // what was posted before has run
		for _, l := range k.loops {
			done := make(chan bool)
			l.Post(task{do: func() { close(done) }})
			testkit.Receive(t, "the loop", done)
		}
	}
	greeted("older", dial())
	older.Pause()
	settled(older)
	waiting := dial()
	newer.Resume()
	greeted("newer", waiting)
	newer.Pause()
	settled(newer)
	waiting = dial()
	older.Resume()
	greeted("older", waiting)
	older.Pause()
	newer.Resume()
	settled(older)
	older.back.Stop()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the file went with the first server: %v", err)
	}
	greeted("newer", func() (all []*client) {
		for _, a := range newer.Addrs() {
			conn, err := net.Dial(a.Network(), a.String())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, newClient(t, conn))
		}
		return all
	}())
	newer.back.Stop()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
}
