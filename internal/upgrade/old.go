package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Errors of an upgrade that was not tried.
var (
	// ErrRunning: one runs.
	ErrRunning = errors.New("an upgrade is running")
	// ErrDraining: the process that this one replaced has not ended.
	ErrDraining = errors.New("the process that this one replaced still ends its sessions")
	// ErrNoWayBack: there is no program to go back to.
	ErrNoWayBack = errors.New("there is no program to go back to")
)

// BackFor is how long after an upgrade the program before it is kept.
const BackFor = 24 * time.Hour

// Running is the running process as an upgrade needs it. Its methods do not fail but where
// they say so.
type Running interface {
	Giver
	// Duplicates returns duplicates of the listening sockets, which the caller closes, also
	// on an error.
	Duplicates() ([]Socket, error)
	// StopAccepting leaves clients and operators to the other process.
	StopAccepting()
	// AcceptAgain undoes it.
	AcceptAgain()
	// Share has the process use half of its memory, or all of it again.
	Share(memory bool)
}

// Old is the side of the old process: it replaces the process when it is asked to.
type Old struct {
	Program Program
	// MainIs tells the service manager which process is the main one of the service.
	MainIs func(pid int)

	log     *zap.Logger
	stopped context.Context
	stop    context.CancelFunc

	// replaced has the process that has replaced this one, once.
	replaced chan *Successor
	running  sync.Mutex // one upgrade at a time

	mu        sync.Mutex // guards what follows
	succeeded bool       // another process accepts, or ends after it did
	before    *New       // the side of this process when it replaced another one; nil: it did not
	previous  *os.File   // nil: there is no way back
}

// DefaultTimeout of an upgrade, up to "accepting", is for a process that reads 100,000 accounts on a busy host.
const DefaultTimeout = time.Minute

// NewOld returns the side of a process that may be replaced.
func NewOld(p Program, log *zap.Logger) *Old {
	o := &Old{Program: p, log: log, MainIs: func(int) {}, replaced: make(chan *Successor, 1)}
	o.stopped, o.stop = context.WithCancel(context.Background())
	return o
}

// Stop ends an upgrade that runs, and waits until this process is as it was before it. After
// it there is none.
func (o *Old) Stop() {
	o.stop()
	o.running.Lock()
	defer o.running.Unlock()
}

// Replaced says that this process has replaced another one, which it can be replaced by again
// for BackFor.
func (o *Old) Replaced(n *New) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.before, o.previous = n, n.Previous
	time.AfterFunc(BackFor, o.Forget)
}

// Forget ends the way back.
func (o *Old) Forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.previous != nil {
		_ = o.previous.Close()
		o.previous = nil
	}
}

// Replacement gets the process that has replaced this one. This one then ends its sessions and
// itself, unless the other one ends before.
func (o *Old) Replacement() <-chan *Successor { return o.replaced }

// Done is what an upgrade did.
type Done struct {
	PID     int
	Version string
	Program string
}

// Upgrade replaces this process within a time, or on an error changes nothing. back starts the
// program that this process has replaced.
func (o *Old) Upgrade(ctx context.Context, r Running, back bool, timeout time.Duration) (done Done, err error) {
	if !o.running.TryLock() {
		return done, ErrRunning
	}
	defer o.running.Unlock()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(o.stopped, cancel)()
	program, path, err := o.next(back)
	if errors.Is(err, ErrDraining) && back {
		return o.returnTo(ctx, r)
	}
	if err != nil {
		return done, err
	}
	o.log.Info("upgrade: starting the new process", zap.String("program", program))
	r.Share(true)
	c, version, err := o.replace(ctx, r, path)
	if err != nil {
		r.Share(false)
		o.log.Error("upgrade: nothing has changed", zap.Error(err))
		return done, err
	}
	o.log.Info("upgrade: the new process accepts", zap.Int("pid", c.process.Pid), zap.String("version", version))
	o.give(o.succeededBy(c, r))
	return Done{PID: c.process.Pid, Version: version, Program: program}, nil
}

// give has the process end, after another one accepts.
func (o *Old) give(s *Successor) {
	o.setSucceeded(true)
	o.replaced <- s
}

func (o *Old) setSucceeded(is bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.succeeded = is
}

// next returns the program to start, and by which path it is executed.
func (o *Old) next(back bool) (program, path string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.before != nil {
		select {
		case <-o.before.Alone():
		default:
			return "", "", ErrDraining
		}
	}
	if o.stopped.Err() != nil {
		return "", "", errors.New("this process ends")
	}
	if os.Getpid() == 1 {
		return "", "", errors.New("this process is the first one of its container, which ends with it: start the container anew")
	}
	if o.succeeded {
		return "", "", ErrRunning
	}
	if !back {
		return o.Program.Path, o.Program.Path, nil
	}
	if o.previous == nil {
		return "", "", fmt.Errorf("%w: this process has replaced none in the last %v", ErrNoWayBack, BackFor)
	}
	return "the previous program", fmt.Sprintf("/proc/self/fd/%d", o.previous.Fd()), nil
}

// replace goes through the steps up to accepting. On an error the new process has ended and
// this one is as it was.
func (o *Old) replace(ctx context.Context, r Running, path string) (_ *child, version string, err error) {
	sockets, err := r.Duplicates()
	defer func() {
		for _, s := range sockets {
			_ = syscall.Close(s.FD)
		}
	}()
	if err != nil {
		return nil, "", err
	}
	c, err := start(path, o.Program, sockets)
	if err != nil {
		return nil, "", err
	}
	undo := func() { o.takeBack(r) }
	defer func() {
		if err != nil {
			c.kill()
			undo()
		}
	}()
	hello, err := c.await(ctx, prepared)
	if err != nil {
		undo = func() {}
		return nil, "", err
	}
	_ = c.tell(message{Step: take})
	if err := r.Give(ctx, c.stores); err != nil {
		if _, ended := c.await(ctx, ready); ended != nil { // that is why, or says more
			err = ended
		}
		return nil, "", err
	}
	if _, err := c.await(ctx, ready); err != nil {
		return nil, "", err
	}
	o.MainIs(c.process.Pid)
	r.StopAccepting()
	undo = func() { o.goOn(r) }
	_ = c.tell(message{Step: accept})
	if _, err := c.await(ctx, accepting); err != nil {
		return nil, "", err
	}
	return c, hello.Version, nil
}

// takeBack opens the stores again.
func (o *Old) takeBack(r Running) {
	if err := r.TakeBack(); err != nil {
		o.log.Error("upgrade: what this process saves is in memory only", zap.Error(err))
	}
}

// goOn undoes all steps.
func (o *Old) goOn(r Running) {
	o.takeBack(r)
	r.AcceptAgain()
	o.MainIs(os.Getpid())
	o.setSucceeded(false)
}
