package login

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// TestPanicDoesNotKeepTheBreaker: the try that an open breaker lets through ends in a
// panic, and the next one may begin.
func TestPanicDoesNotKeepTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := throttle.BreakerConfig{Failures: 5, Recovery: 15 * time.Second}
		o := &Opener{Breakers: throttle.NewBreakers(cfg, nil, zap.NewNop(), metrics.NewSet())} // no dialer: to dial is to panic
		a := &account.Account{SMTP: account.Endpoint{Host: "mx.x.test", Port: 587}}
		for range cfg.Failures {
			leave, err := o.enter(a.SMTP)
			if err != nil {
				t.Fatal(err)
			}
			leave(&failure.Error{Phase: throttle.PhaseConnect, Err: io.EOF})
		}
		if _, err := o.enter(a.SMTP); err != failure.ErrEndpointDown {
			t.Fatalf("the breaker is not open: %v", err)
		}
		<-time.After(cfg.Recovery)
		<-time.After(1)
		leave, err := o.enter(a.SMTP)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_, _ = o.reach(t.Context(), a, leave)
		}()
		if _, err := o.enter(a.SMTP); err != nil {
			t.Errorf("after the panic: %v", err)
		}
	})
}
