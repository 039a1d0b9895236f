package loop

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
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
	// Heartbeat, if not nil, gives each loop, by its number, what tells that it comes
	// back.
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

// Running is the method of *Loop that a loop is in while it works, as stacks name it.
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

// drop tells what was posted that it will not run.
func (l *Loop) drop() {
	l.mu.Lock()
	box := l.box
	l.box = nil
	l.mu.Unlock()
	for _, r := range box {
		if d, ok := r.(Dropper); ok {
			d.Dropped()
		}
	}
}

// mayExceed is how many connections more than the loop with the fewest one may have
// and still serve itself those that it accepts.
func mayExceed(fewest int64) int64 { return fewest / 16 }

// place is the loop for a connection that l has accepted: l, unless another one
// has clearly fewer.
func (l *Loop) place() *Loop {
	least := slices.MinFunc(l.engine.loops, func(a, b *Loop) int { return cmp.Compare(a.load.Load(), b.load.Load()) })
	if fewest := least.load.Load(); l.load.Load() > fewest+mayExceed(fewest) {
		return least
	}
	return l
}

// ErrNotTaken is what Closed is told for a socket that epoll did not take.
var ErrNotTaken = errors.New("epoll did not take the socket")

// ErrEnded is what Closed is told for a connection whose loop had ended before.
var ErrEnded = errors.New("the event loop has ended")

// Serve has this loop, or another one that has clearly fewer connections, serve an
// accepted socket. It takes fd. h is told by Opened, or by Closed alone.
func (l *Loop) Serve(fd int, h Handler) {
	next := l.place()
	next.load.Add(1)
	o := &opening{conn: Conn{loop: next, handler: h}, fd: fd}
	if next == l {
		l.enter()
		l.runOne(o)
		l.leave()
	} else if !next.Post(o) {
		o.Dropped()
	}
}

// opening is the taking of an accepted socket.
type opening struct {
	conn Conn
	fd   int
}

// Run implements Runner.
func (o *opening) Run() {
	c := &o.conn
	err := c.loop.register(c, o.fd)
	if c.gnet == nil { // else an error is one of the connection, which is closed, or soon will be
		c.closed = true
		c.loop.load.Add(-1)
		c.handler.Closed(errors.Join(ErrNotTaken, err))
	}
}

// Dropped implements Dropper.
func (o *opening) Dropped() {
	_ = unix.Close(o.fd)
	o.conn.closed = true
	o.conn.loop.load.Add(-1)
	o.conn.handler.Closed(ErrEnded)
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
