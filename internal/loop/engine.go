package loop

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	"go.uber.org/zap"
)

// Config says how the loops run and who is told of what.
type Config struct {
	// Loops is their number. Default: one for each CPU.
	Loops int
	// Pin binds each loop to a CPU: "off", "auto" (from four CPUs on), or a list of
	// CPU numbers. Default: "off".
	Pin string
	// Log is for what concerns the loops themselves.
	Log *zap.Logger
	// Lag is told on each tick of each loop by how many seconds it came late.
	Lag func(seconds float64)
	// Heartbeat, if not nil, returns the heartbeat of each loop, by its number.
	Heartbeat func(i int, l *Loop) Heartbeat
	// Panicked is told of a panic that was contained, on the goroutine that it
	// happened on.
	Panicked func(in Place, p any, stack []byte)
}

// Heartbeat is told when a loop is given work and when it has come to it: *watchdog.Part
// is one.
type Heartbeat interface {
	// Begin is called before a tick is posted, on another goroutine than the loop's.
	Begin()
	// End is called on the loop, when it has come to the tick.
	End()
	// Remove is called when the loop has ended.
	Remove()
}

// Running is the method of *Loop that is on the stack while a loop works.
const Running = "internal/loop.(*Loop).Run"

// Place is where a panic happened.
type Place uint8

const (
	// InCallback: in a method of a Handler, Runner, Expirer or Acceptor, on a loop.
	InCallback Place = iota
	// InHandshake: in the TLS handshake of a client, which ends with an error.
	InHandshake
)

// Validate reports what is wrong with the configuration.
func (c *Config) Validate() error {
	if _, err := parsePin(c.Pin); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	return nil
}

func (c *Config) failed(what string, err error) { c.Log.Warn(what, zap.Error(err)) }

func (c *Config) panicked(in Place, p any, stack []byte) {
	if c.Panicked != nil {
		c.Panicked(in, p, stack)
	}
}

// Engine is a number of loops.
type Engine struct {
	cfg        Config
	gnet       *gnet.Client
	loops      []*Loop
	handshakes handshakes
	stop       chan struct{}
	ticking    sync.WaitGroup
}

// Start starts the loops.
func Start(cfg Config) (*Engine, error) {
	n := cfg.Loops
	if n == 0 {
		n = runtime.NumCPU()
	}
	cpus, err := pinnedCPUs(cfg.Pin, n)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, stop: make(chan struct{})}
	e.handshakes.limit = maxHandshakes
	if e.gnet, e.loops, err = startEngine(n, cpus != nil, cfg.Log); err != nil {
		return nil, err
	}
	for i, l := range e.loops {
		l.engine = e
		if cfg.Heartbeat != nil {
			l.heartbeat = cfg.Heartbeat(i, l)
		}
		if cpus == nil {
			continue
		}
		if err := l.pin(cpus[i%len(cpus)]); err != nil {
			return nil, errors.Join(err, e.gnet.Stop())
		}
	}
	e.ticking.Add(1)
	go e.runTicks()
	return e, nil
}

// Loops are the loops, always the same ones.
func (e *Engine) Loops() []*Loop { return e.loops }

// PostAll posts r to each loop.
func (e *Engine) PostAll(r func(l *Loop) Runner) {
	for _, l := range e.loops {
		l.Post(r(l))
	}
}

// Close ends the loops and closes their connections. What was posted and has not
// run is dropped; a Dropped method of it is called.
func (e *Engine) Close() {
	close(e.stop)
	e.ticking.Wait()
	for _, l := range e.loops {
		l.mu.Lock()
		l.stopped = true
		l.mu.Unlock()
		if l.heartbeat != nil {
			l.heartbeat.Remove()
		}
	}
	if err := e.gnet.Stop(); err != nil {
		e.cfg.failed("cannot stop the event loops", err)
	}
	e.handshakes.wg.Wait()
	for _, l := range e.loops {
		l.drop()
	}
}

// Dropper is a Runner that is told when its loop has ended before it ran.
type Dropper interface{ Dropped() }

// drop tells a posted Runner that it will not run, if it is a Dropper.
func (l *Loop) drop() {
	l.mu.Lock()
	box := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, r := range box {
		if d, ok := r.(Dropper); ok {
			d.Dropped()
		}
	}
}

// runTicks posts the ticks.
func (e *Engine) runTicks() {
	defer e.ticking.Done()
	t := time.NewTicker(Tick)
	defer t.Stop()
	for {
		select {
		case <-e.stop:
			return
		case now := <-t.C:
			for _, l := range e.loops {
				l.tick.post(now)
			}
		}
	}
}
