package server

import (
	"context"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/watchdog"
)

// Start starts the loops and then the listeners. On an error nothing is left
// running.
func (s *Server) Start() error {
	if err := s.listen(); err != nil {
		return err
	}
	if err := s.startLoops(); err != nil {
		s.closeListeners()
		return err
	}
	s.journal.Start()
	s.passwords = password.New(s.cfg.Checks, s.checkPanicked)
	s.guard = password.NewGuard(s.passwords, s.cfg.Failures, time.Now())
	accounts := s.accounts.Load()
	s.learned.Store(accounts)
	s.prepare(accounts)
	s.running.Add(1)
	go s.keepLearning()
	if s.cfg.Paused {
		s.Pause()
	}
	for _, l := range s.listeners {
		s.accept(l)
	}
	return nil
}

// accept has all loops accept from l.
func (s *Server) accept(l *listener) {
	s.accepting.Add(1)
	s.engine.Listen(l.socket, l)
}

// startLoops starts the loops.
func (s *Server) startLoops() (err error) {
	s.engine, err = loop.Start(loop.Config{
		Loops: s.cfg.Loops, Pin: s.cfg.Pin, Log: s.log,
		Lag: s.metrics.LoopLag.Update, Panicked: s.callbackPanicked,
		Heartbeat: func(i int, l *loop.Loop) loop.Heartbeat {
			return s.cfg.Watch.Add(watchdog.Task{Kind: watchdog.Loop, Number: i, Func: loop.Running, On: l})
		},
	})
	if err != nil {
		return err
	}
	s.started.Store(true)
	for _, l := range s.engine.Loops() {
		s.addLoop(l)
	}
	s.postAll(s.awaitAnswers)
	return nil
}

// Shutdown stops accepting, ends idle sessions with 421, lets running transactions finish
// until ctx ends, and then closes the remaining sessions. It returns how many these were.
// The relay must still be running. The loops run on, for the relay's connections, until
// Stop. A second call does nothing.
func (s *Server) Shutdown(ctx context.Context) (cut int64) {
	if s.draining.Swap(true) {
		return 0
	}
	s.engine.StopListening()
	s.postAll((*eventLoop).drain)
	s.accepting.Wait() // after this no session is added
	for s.active.Load() > 0 && cut == 0 {
		select {
		case <-s.empty:
		case <-ctx.Done():
			if cut = s.active.Load(); cut > 0 {
				s.postAll((*eventLoop).kill)
			}
		}
	}
	for s.active.Load() > 0 {
		<-s.empty
	}
	close(s.stopLearning)
	s.running.Wait()
	s.passwords.Close()
	s.journal.Close()
	return cut
}

// Stop ends the loops. It is to be called after Shutdown and after the relay is closed.
func (s *Server) Stop() { s.engine.Close() }

// drain ends idle sessions at once, and the others when they become idle.
func (l *eventLoop) drain() {
	l.draining = true
	for s := range l.sessions {
		s.visit((*session).flush)
	}
}

// kill closes every session.
func (l *eventLoop) kill() {
	for s := range l.sessions {
		s.visit(func(s *session) {
			s.end(codec.ReplyShutdown)
			s.flush()
			s.close()
		})
	}
}
