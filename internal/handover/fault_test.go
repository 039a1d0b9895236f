package handover

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/internal/tokenstore"
)

// script is the other end of a Giver or Taker, written by hand.
type script struct {
	*frames.Conn
	sock *net.UnixConn
	said chan *frames.Message
}

func newScript(sock *net.UnixConn) *script {
	s := &script{sock: sock, said: make(chan *frames.Message, 16)}
	s.Conn = frames.New(sock, func(m *frames.Message) { s.said <- m })
	return s
}

// ask asks the steps of a new process, in their order.
func (s *script) ask(t *testing.T, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		var body any
		if kind == kindHello {
			body = ours
		}
		files, err := s.Ask(timely(t), kind, body, nil)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for _, f := range files {
			_ = f.Close()
		}
	}
}

// TestGiverFaults has new processes that fail, at each step and in each way: the old process
// has its files as before, and what came meanwhile is saved.
func TestGiverFaults(t *testing.T) {
	steps := []string{kindHello, kindSnapshot, kindReady}
	faults := map[string]func(s *script, cancel func()){
		"ends":    func(s *script, _ func()) { _ = s.Close() },
		"hangs":   func(_ *script, cancel func()) { cancel() },
		"garbage": func(s *script, _ func()) { _, _ = s.sock.Write([]byte(strings.Repeat("\xff", 64))) },
		"too much": func(s *script, _ func()) {
			_, _ = s.sock.Write([]byte{0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		},
		"skips a step": func(s *script, _ func()) {
			_ = s.Tell(kindDone+"d", nil)
			_ = s.Tell(kindHello, ours)
			_ = s.Tell(kindHello, ours)
		},
		"refuses": func(s *script, _ func()) { _, _ = s.Ask(context.Background(), kindRefuse, "it is too old", nil) },
		"other protocol": func(s *script, _ func()) {
			_, _ = s.Ask(context.Background(), kindHello, hello{Oldest: 7, Newest: 9}, nil)
		},
	}
	for name, fault := range faults {
		for done := range len(steps) + 1 {
			t.Run(name+" after "+strings.Join(steps[:done], ","), func(t *testing.T) {
				dir := t.TempDir()
				g := &Giver{Stores: open(t, dir), OrdersPath: ordersAt(dir)}
				defer closeStores(t, g.Stores)
				a, b, err := frames.Pair()
				if err != nil {
					t.Fatal(err)
				}
				s := newScript(b)
				defer s.Close()
				ctx, cancel := context.WithCancel(timely(t))
				defer cancel()
				given := make(chan error, 1)
				go func() { given <- g.Give(ctx, a) }()
				s.ask(t, steps[:done]...)
				held := make(chan error, 1)
				go func() { held <- g.Tokens.Save(chainOf("a"), rotated("a1", 1)) }()
				g.Counts.Save("m", thisHour, 7, 7)
				if _, err := g.Orders.Set("late", control.Paused, g.Orders.Of("").Since); err != nil {
					t.Error(err)
				}
				fault(s, cancel)
				answerAborts(s)
				if err := <-given; err == nil {
					t.Error("the files are handed over")
				}
				if err := g.TakeBack(); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(<-held, g.Counts.Flush()); err != nil {
					t.Error(err)
				}
				closeStores(t, g.Stores)
				again := open(t, dir)
				defer closeStores(t, again)
				wantRefresh(t, again.Tokens, "a", "a1")
				if n := hoursOf(again.Counts, "m"); n != 7 {
					t.Errorf("%d messages are counted", n)
				}
				if is := again.Orders.Of("late").State; is != control.Paused {
					t.Errorf("the order is %v", is)
				}
			})
		}
	}
}

// answerAborts answers what a Giver says at last.
func answerAborts(s *script) {
	go func() {
		for {
			select {
			case m := <-s.said:
				_ = m.Answer(nil, nil)
			case <-s.Gone():
				return
			}
		}
	}()
}

// TestTakerFaults has old processes that fail: one that ends leaves its files to the new one;
// with any other fault the new one does not go on.
func TestTakerFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps int // that are answered
		fault func(s *script, m *frames.Message, cancel func())
		goes  bool
	}{
		{"ends before it answers", 0, func(s *script, _ *frames.Message, _ func()) { _ = s.Close() }, true},
		{"ends before the copies", 1, func(s *script, _ *frames.Message, _ func()) { _ = s.Close() }, true},
		{"ends after the copies", 2, func(s *script, _ *frames.Message, _ func()) { _ = s.Close() }, true},
		{"hangs", 0, func(_ *script, _ *frames.Message, cancel func()) { cancel() }, false},
		{"hangs with the files", 2, func(_ *script, _ *frames.Message, cancel func()) { cancel() }, false},
		{"another protocol", 0, func(_ *script, m *frames.Message, _ func()) { _ = m.Answer(hello{7, 9}, nil) }, false},
		{"copies that are missing", 1, func(_ *script, m *frames.Message, _ func()) { _ = m.Answer(snapshot{Tokens: true}, nil) }, false},
		{"a copy that is damaged", 1, func(_ *script, m *frames.Message, _ func()) {
			f, err := os.Open("/proc/self/exe")
			if err == nil {
				_ = m.Answer(snapshot{Counts: true}, nil, f)
				_ = f.Close()
			}
		}, false},
		{"aborts", 2, func(s *script, _ *frames.Message, _ func()) {
			_, _ = s.Ask(context.Background(), kindAbort, "it goes on", nil)
			_ = s.Close()
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b, err := frames.Pair()
			if err != nil {
				t.Fatal(err)
			}
			s := newScript(a)
			defer s.Close()
			ctx, cancel := context.WithCancel(timely(t))
			defer cancel()
			go func() {
				answers := []any{ours, snapshot{}}
				for i := 0; ; i++ {
					select {
					case m := <-s.said:
						if i == tt.steps {
							tt.fault(s, m, cancel)
						} else if i < len(answers) {
							_ = m.Answer(answers[i], nil)
						} else {
							_ = m.Answer(nil, nil)
						}
					case <-s.Gone():
						return
					}
				}
			}()
			taker := NewTaker(b, keys)
			defer taker.Close()
			if err := taker.Await(ctx); (err == nil) != tt.goes {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestRefused has a new process that cannot read what the old one wrote, which is sealed with
// another key: it says why, and the old one has not closed its files.
func TestRefused(t *testing.T) {
	e := newEnds(t)
	left := false
	e.giver.step = func(step string) { left = left || step == "left" }
	e.taker.keys = nil
	save(t, e.giver.Tokens, "a", rotated("a0", 0))
	given := make(chan error, 1)
	go func() { given <- e.giver.Give(timely(t), e.sock) }()
	why := tokenstore.ErrSealed.Error()
	if err := e.taker.Await(timely(t)); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("the new process says %v", err)
	}
	if err := <-given; err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("the old process says %v", err)
	}
	if left {
		t.Error("the old process has closed its files")
	}
	wantRefresh(t, e.giver.Tokens, "a", "a0")
}

// TestUnknown: a message that is not known is told, and ignored.
func TestUnknown(t *testing.T) {
	e := newEnds(t)
	s := e.handOver(t, func() {})
	_, err := e.giver.link.Ask(timely(t), "of a later version", nil, nil)
	_, other := e.taker.link.Ask(timely(t), "of a later version", nil, nil)
	if !errors.Is(err, frames.ErrUnknown) || !errors.Is(other, frames.ErrUnknown) {
		t.Errorf("%v, %v", err, other)
	}
	save(t, e.giver.Tokens, "a", rotated("a1", 1))
	wantRefresh(t, s.Tokens, "a", "a1")
}

// TestSentWhileNobodyHasTheFile: a record that a process sent before it died is saved by the
// one that opens the file.
func TestSentWhileNobodyHasTheFile(t *testing.T) {
	is := saving{chainOf("a"), rotated("a1", 1)}
	t.Run("to the new process", func(t *testing.T) {
		a, b, err := frames.Pair()
		if err != nil {
			t.Fatal(err)
		}
		s := newScript(a)
		go func() {
			for _, answer := range []any{ours, snapshot{}} {
				_ = (<-s.said).Answer(answer, nil)
			}
			<-s.said // ready: its files are closed
			if saved, err := tellRecord(context.Background(), s.Conn, is); saved || err != nil {
				t.Errorf("%v, %v", saved, err)
			}
			_ = s.Close()
		}()
		taker := NewTaker(b, keys)
		defer taker.Close()
		if err := taker.Await(timely(t)); err != nil {
			t.Fatal(err)
		}
		stores := open(t, t.TempDir())
		defer closeStores(t, stores)
		if err := taker.Opened(stores); err != nil {
			t.Fatal(err)
		}
		wantRefresh(t, stores.Tokens, "a", "a1")
	})
	t.Run("to the old process", func(t *testing.T) {
		a, b, err := frames.Pair()
		if err != nil {
			t.Fatal(err)
		}
		stores := open(t, t.TempDir())
		defer closeStores(t, stores)
		old := frames.New(a, func(m *frames.Message) { serve(m, stores.Tokens, stores.Counts) })
		next := newScript(b)
		if err := stores.Tokens.leave(); err != nil {
			t.Fatal(err)
		}
		if saved, err := tellRecord(timely(t), next.Conn, is); saved || err != nil {
			t.Errorf("%v, %v", saved, err)
		}
		_, _ = next.Close(), old.Close()
		if err := stores.Tokens.takeBack(); err != nil {
			t.Fatal(err)
		}
		wantRefresh(t, stores.Tokens, "a", "a1")
	})
}

// TestCountsThatAreNotAcknowledged: what the other process did not take is sent again.
func TestCountsThatAreNotAcknowledged(t *testing.T) {
	e := newEnds(t)
	old := e.giver.Stores
	s := e.handOver(t, func() {
		old.Counts.Save("m", thisHour, 5, 5)
		if err := old.Counts.Flush(); err != nil { // the new process does not have the file
			t.Error(err)
		}
	})
	if err := e.giver.Finish(timely(t)); err != nil {
		t.Fatal(err)
	}
	if n := hoursOf(s.Counts, "m"); n != 5 {
		t.Errorf("%d messages are counted, want 5", n)
	}
}
