package upstream

import (
	"testing"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/loop"
)

// engine runs the loops of all tests.
var engine *loop.Engine

// withLoops runs the tests while the loops run.
type withLoops struct{ m *testing.M }

func (w withLoops) Run() int {
	var err error
	if engine, err = loop.Start(loop.Config{Loops: 2, Log: zap.NewNop()}); err != nil {
		panic(err)
	}
	defer engine.Close()
	return w.m.Run()
}

// loops are those of engine.
func loops() (first, second *loop.Loop) { return engine.Loops()[0], engine.Loops()[1] }

// call is a function that runs on a loop.
type call struct {
	f    func()
	done chan struct{}
}

func (c call) Run() {
	defer close(c.done)
	c.f()
}

// onLoop runs f on l and waits for its end.
func onLoop(l *loop.Loop, f func()) {
	c := call{f, make(chan struct{})}
	if !l.Post(c) {
		panic("the loop has ended")
	}
	<-c.done
}

// goOn gives tx back to the relay, on its loop.
func (f *fixture) goOn(tx *Transaction) (err error) {
	onLoop(tx.Loop, func() { err = f.relay.Continue(tx) })
	return err
}
