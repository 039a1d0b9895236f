package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// A runner is one run, from the first connection to the report.
type runner struct {
	*plan
	progress io.Writer

	run      string // its name in X-Load-Id
	mix      *mix
	accounts *accounts
	recorder *recorder
	journal  *journal
	pacer    pacer
	workers  []*worker
	idle     []*session
	dryRuns  *dryRuns // nil: the run is no proof of dry runs

	started     time.Time
	interrupted bool
}

// newRunner prepares a run: all that can be made ahead of it is.
func newRunner(p *plan, progress io.Writer) *runner {
	var name [runSize / 2]byte
	_, _ = rand.Read(name[:]) // it never fails
	r := &runner{plan: p, progress: progress, run: hex.EncodeToString(name[:])}
	r.mix = p.Size.build(r.run)
	r.accounts = newAccounts(p.logins, p.Skew, p.Seed)
	r.recorder = newRecorder(runtime.GOMAXPROCS(0), max(len(p.phases), 1))
	r.journal = newJournal(p.messages)
	if p.phases == nil {
		r.pacer = &closedPacer{n: int64(p.messages)}
	} else {
		r.pacer = newOpenPacer(newSchedule(p.phases, p.Arrivals == "poisson", p.Seed), preciseSleep)
	}
	for i := range p.Connections {
		r.workers = append(r.workers, &worker{
			number: i, dialogue: p.dialogue, accounts: r.accounts, mix: r.mix, perConn: p.PerConn, resend: p.Resend,
			pacer: r.pacer, recorder: r.recorder, journal: r.journal, id: newID(r.run),
		})
	}
	return r
}

// load runs the load and returns the report. An error means that there was no
// run, or that it could not be judged; then the report may be nil.
func (r *runner) load(ctx context.Context) (*report.Report, error) {
	var sandbox *provider
	if r.sandbox != nil {
		sandbox = newProvider(r.sandbox)
		if err := sandbox.check(); err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
	}
	if err := r.connect(ctx); err != nil {
		r.hangUp()
		return nil, err
	}
	if err := r.watchDryRuns(); err != nil {
		r.hangUp()
		return nil, err
	}
	rep, err := r.measure(ctx)
	if err != nil {
		r.hangUp()
		return nil, err
	}
	rep.IdleAlive = r.releaseIdle()
	if r.DryRun {
		if rep.DryRun, err = r.dryRuns.verdict(rep.Total.Accepted); err != nil {
			return rep, err
		}
	}
	if sandbox != nil {
		p := &prover{run: r.run, journal: r.journal, mix: r.mix, logins: r.logins}
		if rep.Proof, err = p.prove(sandbox, r.Hashes); err != nil {
			return rep, fmt.Errorf("sandbox: %w", err)
		}
	}
	return rep, nil
}

// connect opens the idle connections and the first one of each worker, so that
// the run starts with the server as it is in the middle of a day. The first
// refusal ends the run.
func (r *runner) connect(ctx context.Context) error {
	r.idle = make([]*session, r.Idle)
	err := inParallel(ctx, r.Idle, func(i int) (err error) {
		account := r.accounts.next()
		r.idle[i], err = openSession(r.dialogue, account, r.logins[account])
		return err
	})
	if err != nil {
		return err
	}
	return inParallel(ctx, len(r.workers), func(i int) error { return r.workers[i].connect() })
}

// hangUp ends all connections of a run that was given up.
func (r *runner) hangUp() {
	for _, w := range r.workers {
		w.hangUp()
	}
	r.releaseIdle()
}

// releaseIdle ends the idle connections and returns how many still answered.
func (r *runner) releaseIdle() int {
	var alive atomic.Int64
	_ = inParallel(context.Background(), len(r.idle), func(i int) error {
		s := r.idle[i]
		if s == nil {
			return nil
		}
		s.extend(time.Now())
		if s.exchange(phaseFinal, 250, "NOOP") == nil {
			alive.Add(1)
		}
		s.close()
		return nil
	})
	r.idle = nil
	return int(alive.Load())
}

// inParallel calls f for 0 to n-1, a few at a time, until one fails.
func inParallel(ctx context.Context, n int, f func(int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, 32) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// measure runs the load and all that watches it.
func (r *runner) measure(ctx context.Context) (*report.Report, error) {
	m := &monitor{recorder: r.recorder, interval: r.interval(), progress: newProgress(r.progress, r.messages, r.Quiet)}
	self, err := newMeter(selfSampler{})
	if err != nil {
		return nil, err
	}
	if r.plan.server != nil {
		if m.server, err = newMeter(r.plan.server); err != nil {
			return nil, err
		}
	}
	watching, stopWatching := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() { m.run(watching) })
	r.drive(ctx)
	stopWatching()
	watch.Wait()
	if m.err != nil {
		return nil, fmt.Errorf("the server under load: %w", m.err)
	}
	if _, _, err := self.read(); err != nil {
		return nil, err
	}
	return r.report(m, self), nil
}

// interval returns the length of the series' intervals: short runs have
// points too, long ones not too many.
func (r *runner) interval() time.Duration {
	return min(max(max(r.length(), r.Duration)/200, 250*time.Millisecond), 5*time.Second)
}

// spareProcessors leaves half of the processors to the server: in a closed loop
// there is always something to do, and a runtime that has more of them than it
// gets time on spends what it gets on waking threads. GOMAXPROCS overrides it.
func spareProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.NumCPU()/2, 1))
	}
}

// drive runs the workers until all is sent, or no longer to be waited
// for.
func (r *runner) drive(parent context.Context) {
	ctx, stop := context.WithCancel(parent)
	defer stop()
	r.started = time.Now()
	if r.phases == nil {
		spareProcessors()
		if r.Duration > 0 {
			timer := time.AfterFunc(r.Duration, stop)
			defer timer.Stop()
		}
	} else { // Drain is for the messages that are queued at the end
		prepareSleep()
		timer := time.AfterFunc(r.length()+r.Drain, stop)
		defer timer.Stop()
	}
	r.pacer.start()
	var working sync.WaitGroup
	for _, w := range r.workers {
		working.Go(func() { w.run(ctx) })
	}
	working.Wait()
	r.interrupted = parent.Err() != nil
	if r.phases == nil { // the journal ends with the last place that was used
		issued := 0
		for _, w := range r.workers {
			issued = max(issued, w.issued)
		}
		r.journal.entries = r.journal.entries[:issued]
	}
}
