package app

import (
	"context"
	"errors"
	"os"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/app/internal/succession"
	"xoauth2-proxy/internal/app/internal/tuning"
)

var (
	// ErrCut is returned by Run if sessions were cut off: they had not ended by the
	// drain timeout. It is also returned if a stuck part has not ended.
	ErrCut = errors.New("sessions were cut off")
	// ErrSecondSignal is returned by Run if a second signal ended the drain.
	ErrSecondSignal = errors.New("ended at once by a second signal")
)

// Run starts a proxy and runs it until SIGTERM or SIGINT ends it, or its terminal goes.
// o.Signals must be set. Run is for the main goroutine of a process: it tunes the Go
// runtime and the scheduling of all threads. started, if not nil, is called when clients
// can connect. cut ends the process at once, without a return, if a part does not end by
// its deadline.
func Run(o Options, started func(*Proxy), cut func()) error {
	s, log := o.Settings, o.Log
	end := awaitSignals(log, o.Signals, s.Server.ShutdownDelay+s.Server.DrainTimeout, cut)
	defer end.release()
	tuning.Apply(s, log)
	o.Ended = end.told
	p, err := Start(o)
	if err != nil {
		return err
	}
	end.of.Store(p)
	if started != nil {
		started(p)
	}
	p.service.Ready()
	sig := p.turn.Wait(end.first)
	p.turn.Leave()
	p.service.Stopping()
	if delay := s.Server.ShutdownDelay; delay > 0 && sig != succession.Upgraded {
		p.leave(delay, sig, end.second)
	}
	return drain(p, end, sig, s.Server.DrainTimeout)
}

// leave has /ready say that the proxy drains, while it still takes connections, until delay
// has passed or ctx ends.
func (p *Proxy) leave(delay time.Duration, sig os.Signal, ctx context.Context) {
	p.log.Info("draining soon: /ready is 503, and new connections are taken until the delay has passed",
		zap.Stringer("signal", sig), zap.Duration("delay", delay))
	p.leaving.Store(true)
	select {
	case <-time.After(delay):
	case <-ctx.Done():
	}
}

// drain stops p after its first signal.
func drain(p *Proxy, end *ending, sig os.Signal, timeout time.Duration) error {
	p.log.Info("draining: no new connections, running messages finish; a second signal ends at once",
		zap.Stringer("signal", sig), zap.Duration("timeout", timeout))
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	defer context.AfterFunc(end.second, cancel)()
	sessions := p.Stop(ctx)
	if end.second.Err() != nil {
		return ErrSecondSignal
	}
	if sessions > 0 {
		p.log.Warn("the drain timeout has passed, sessions were cut off", zap.Int64("sessions", sessions))
		return ErrCut
	}
	p.log.Info("stopped")
	return nil
}
