package app

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	// endGrace is the time after the drain timeout by which the process has ended:
	// all that Stop waits for after the drain takes less, unless it hangs.
	endGrace = 10 * time.Second
	// together is the time in which two signals are one: some process managers send each
	// twice.
	together = time.Second
	// secondGrace is the time after a second signal by which the process has ended.
	// If a part is stuck, the process ends at once. Running refreshes of tokens get
	// as long as it may take to save what the provider rotated.
	secondGrace = 5 * time.Second
	// lastLine is how long the log line may take that says why the process ends.
	lastLine = time.Second
)

// ending has signals end the process by a deadline, whatever hangs: a stuck part, a
// disk, the start, or the log.
type ending struct {
	log    *zap.Logger
	drain  time.Duration
	cut    func()          // ends the process
	first  chan os.Signal  // gets the first signal; capacity 1
	told   context.Context // ends with the first signal
	second context.Context // ends with the second signal
	of     atomic.Pointer[Proxy]

	signals  <-chan os.Signal
	begun    context.CancelFunc
	repeated context.CancelFunc
	returned chan struct{} // closed by release
}

// awaitSignals begins to wait for the signals that end the process; from then on they do not
// end it by themselves. drain is how long the proxy has after the first signal. cut ends the
// process.
func awaitSignals(log *zap.Logger, s *Signals, drain time.Duration, cut func()) *ending {
	e := &ending{log: log, drain: drain, cut: cut, first: make(chan os.Signal, 1), signals: s.end,
		returned: make(chan struct{})}
	e.told, e.begun = context.WithCancel(context.Background())
	e.second, e.repeated = context.WithCancel(context.Background())
	signal.Notify(s.end, syscall.SIGTERM, syscall.SIGINT)
	go e.wait()
	return e
}

// release ends the wait, if no signal came. After a signal the deadline stands until
// the process has ended.
func (e *ending) release() { close(e.returned) }

// wait obeys the signals.
func (e *ending) wait() {
	select {
	case sig := <-e.signals:
		e.first <- sig
		e.begun()
	case <-e.returned:
		return
	}
	deadline := time.NewTimer(e.drain + endGrace)
	if !e.another(deadline.C) {
		e.exit("the process ends although not all has stopped: the deadline after the signal has passed")
	}
	e.repeated()
	if len(e.stuck()) > 0 {
		e.exit("the process ends although not all has stopped: a second signal came")
	}
	deadline.Reset(secondGrace)
	e.another(deadline.C)
	e.exit("the process ends although not all has stopped: a second signal came")
}

// another waits for a signal that is not together with the one that has just come, and
// reports false if the deadline comes first.
func (e *ending) another(deadline <-chan time.Time) bool {
	for last := time.Now(); ; {
		select {
		case <-e.signals:
			if time.Since(last) > together {
				return true
			}
		case <-deadline:
			return false
		}
	}
}

// stuck names the parts of the proxy that are stuck.
func (e *ending) stuck() []string {
	if p := e.of.Load(); p != nil {
		return p.watch.Stuck()
	}
	return nil
}

// exit ends the process. It first logs what the process did not wait for, if the log
// takes that line in time.
func (e *ending) exit(why string) {
	step := "starting"
	if p := e.of.Load(); p != nil {
		step = p.doing()
	}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		e.log.Error(why, zap.String("at", step), zap.Strings("stuck", e.stuck()))
	}()
	select {
	case <-logged:
	case <-time.After(lastLine):
	}
	e.cut()
}
