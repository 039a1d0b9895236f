package upstream

import (
	"context"
	"errors"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

func TestCloseQuitsParkedConnections(t *testing.T) {
	f := newFixture(t, nil)
	f.sendOK(f.accounts[0], "a\r\n")
	f.sendOK(f.accounts[1], "a\r\n")
	f.close()
	if n := f.box.Stats().Quits; n != 2 {
		t.Errorf("%d QUITs, want 2", n)
	}
	tx, _ := f.message(f.accounts[0], "to@example.com", "b\r\n")
	if err := f.trySubmit(tx); !errors.Is(err, ErrClosed) {
		t.Errorf("TrySubmit on a closed relay: %v", err)
	}
	tx.Release()
	provider.NoViolations(f.t, f.box)
}

func TestCloseLetsRunningTransactionsFinish(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
	f.sendOK(f.accounts[0], "warm\r\n")
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "slow", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, Times: 1,
		For: sandbox.Duration(100 * time.Millisecond)})
	running, c := f.message(f.accounts[0], "to@example.com", "running\r\n")
	waiting, c2 := f.message(f.accounts[0], "to@example.com", "waiting\r\n")
	for _, tx := range []*Transaction{running, waiting} {
		if err := f.trySubmit(tx); err != nil {
			t.Fatal(err)
		}
	}
	provider.Fired(f.t, f.box, "slow", 1)
	f.close()
	if a := c.next(t); a.res.Err != nil {
		t.Errorf("running transaction: %v", a.res.Err)
	} else {
		a.tx.Release()
	}
	a := c2.next(t)
	if code(a.res.Reply) != "451 4.3.2" {
		t.Errorf("waiting transaction: %v", a.res.Reply)
	}
	a.tx.Release()
	provider.Messages(f.t, f.box, 2)
}

func TestCloseLosesPatience(t *testing.T) {
	f := newFixture(t, nil)
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "silent", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, Times: 1})
	stuck, c := f.message(f.accounts[0], "to@example.com", "stuck\r\n")
	if err := f.trySubmit(stuck); err != nil {
		t.Fatal(err)
	}
	provider.Fired(f.t, f.box, "silent", 1)
	opened, c2 := f.envelope(f.accounts[1], "a@example.com", "b@example.com")
	if err := f.trySubmit(opened); err != nil {
		t.Fatal(err)
	}
	c2.next(t)
	short, cancel2 := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel2()
	if err := f.relay.Close(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	a := c.next(t)
	if code(a.res.Reply) != "451 4.4.2" || !a.res.Err.MaybeAccepted() {
		t.Errorf("broken transaction: %v, %v", a.res.Reply, a.res.Err)
	}
	a.tx.Release()
	opened.AddRcpt(codec.RcptArgs{Path: []byte("c@example.com")})
	if err := f.goOn(opened); !errors.Is(err, ErrClosed) {
		t.Errorf("Continue on a closed relay: %v", err)
	}
	opened.Release()
	f.checkIdle()
}

func TestCloseDuringDial(t *testing.T) {
	f := newFixture(t, nil)
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "silent", Phase: sandbox.PhaseBanner, Action: sandbox.ActionStall})
	tx, c := f.message(f.accounts[0], "to@example.com", "a\r\n")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	provider.Fired(f.t, f.box, "silent", 1)
	gone, cancel2 := context.WithCancel(context.Background())
	cancel2()
	if err := f.relay.Close(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	a := c.next(t)
	if code(a.res.Reply) != "451 4.3.2" {
		t.Errorf("reply %v", a.res.Reply)
	}
	a.tx.Release()
	f.checkIdle()
}
