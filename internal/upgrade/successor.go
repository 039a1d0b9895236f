package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"go.uber.org/zap"
)

// Successor is the process that accepts in place of this one: a new one that has replaced it,
// or the old one that this one has given way to.
type Successor struct {
	pid    int
	gone   <-chan struct{}
	asks   chan struct{} // capacity 1: it wants this process to go on
	left   atomic.Bool   // it was told to end
	final  atomic.Bool   // this process ends
	goOn   func() bool
	resume func()
	close  func()
}

// PID is its process id.
func (s *Successor) PID() int { return s.pid }

// Gone is closed when it has ended.
func (s *Successor) Gone() <-chan struct{} { return s.gone }

// Asks gets an element if an operator wants this process to go on: see Resume.
func (s *Successor) Asks() <-chan struct{} { return s.asks }

// GoOn has this process go on in its place, after it has ended. It does nothing and returns
// false if the other one was told to end: then this process ends too.
func (s *Successor) GoOn() bool { return s.goOn() }

// Resume has this process accept again, while the other one ends.
func (s *Successor) Resume() { s.resume() }

// Final has the process refuse to go on: it ends.
func (s *Successor) Final() { s.final.Store(true) }

// Close tells the other process that this one ends.
func (s *Successor) Close() { s.close() }

// succeededBy returns a new process as the successor of this one.
func (o *Old) succeededBy(c *child, r Running) *Successor {
	s := &Successor{pid: c.process.Pid, gone: c.exited, asks: make(chan struct{}, 1)}
	heard := make(chan struct{}) // closed when it has told all
	go func() {
		defer close(heard)
		s.listen(c)
	}()
	s.goOn = func() bool {
		if <-heard; s.left.Load() {
			return false
		}
		c.kill()
		o.log.Error("upgrade: the new process has ended, this one goes on", zap.Stringer("state", c.state), zap.String("stderr", c.stderr.text()))
		o.goOn(r)
		r.Share(false)
		return true
	}
	s.resume = func() {
		o.log.Info("upgrade: going back to this process", zap.Int("pid", os.Getpid()))
		r.AcceptAgain()
		o.MainIs(os.Getpid())
		_ = c.tell(message{Step: accepting})
		go func() {
			defer o.setSucceeded(false)
			<-c.exited
			c.kill()
			o.takeBack(r)
			r.Share(false)
			o.log.Info("upgrade: the new process has ended, and this one has its stores again")
		}()
	}
	s.close = func() {
		_ = c.conn.Close()
		_ = c.stores.Close()
	}
	return s
}

// listen hears what the new process tells after it accepts, until it has ended.
func (s *Successor) listen(c *child) {
	for {
		select {
		case m := <-c.told:
			s.hear(c, m)
		case <-c.gone:
			for len(c.told) > 0 {
				s.hear(c, <-c.told)
			}
			return
		}
	}
}

func (s *Successor) hear(c *child, m message) {
	switch {
	case m.Step == leaving:
		s.left.Store(true)
	case m.Step == back && s.final.Load():
		_ = c.tell(message{Step: failed, Error: "it has ended its sessions and ends: try again when it has"})
	case m.Step == back:
		select {
		case s.asks <- struct{}{}:
		default: // it has asked
		}
	}
}

// returnTo gives way to the process that this one has replaced, which still lives.
func (o *Old) returnTo(ctx context.Context, r Running) (done Done, err error) {
	n := o.before
	_ = n.link.tell(message{Step: back})
	select {
	case m := <-n.link.told:
		if m.Step != accepting {
			return done, fmt.Errorf("the old process does not go on: %s", m.Error)
		}
	case <-n.link.gone:
		return done, errors.New("the old process ended meanwhile: try again")
	case <-ctx.Done():
		return done, errors.New("the old process does not answer")
	}
	r.StopAccepting()
	pid := os.Getppid()
	o.log.Info("upgrade: the old process accepts again, this one ends", zap.Int("pid", pid))
	o.give(&Successor{
		pid: pid, gone: n.link.gone, asks: make(chan struct{}), close: func() {}, resume: func() {},
		goOn: func() bool {
			o.setSucceeded(false)
			r.AcceptAgain()
			return true
		},
	})
	return Done{PID: pid, Version: n.Version, Program: "the previous program"}, nil
}
