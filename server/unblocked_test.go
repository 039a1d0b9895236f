package server

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/server/internal/journal"
	"xoauth2-proxy/upstream"
)

// stalledCore is a log whose writes wait until it is released, as those to a full pipe do.
type stalledCore struct {
	zapcore.Core
	released chan struct{}
}

// Check implements zapcore.Core.
func (c stalledCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return to.AddCore(e, c)
}

// Write implements zapcore.Core.
func (c stalledCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	<-c.released
	return c.Core.Write(e, fields)
}

// TestLogDoesNotHoldLoops has a log that takes no line: what loops have to say waits
// elsewhere, and is written when the log goes on.
func TestLogDoesNotHoldLoops(t *testing.T) {
	k := newStack(t)
	for name, tt := range map[string]struct {
		level zapcore.Level
		text  string
		say   func(s *Server, l *listener)
	}{
		"unread": {zap.InfoLevel, "client had gone", func(s *Server, _ *listener) {
			(&session{srv: s}).logUnread("client had gone", "id", upstream.Result{})
		}},
		"accept": {zap.WarnLevel, "cannot accept a connection", func(_ *Server, l *listener) { l.Failed(errors.New("no buffer")) }},
		"serve": {zap.WarnLevel, "cannot serve a connection", func(s *Server, l *listener) {
			s.active.Add(1)
			l.active.Add(1)
			(&session{srv: s, listener: l}).Closed(errors.New("no memory"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			log := zap.New(stalledCore{core, make(chan struct{})})
			s := &Server{metrics: k.metrics, log: log, journal: journal.New(log, k.metrics.LogDropped.Inc), empty: make(chan struct{}, 1)}
			s.journal.Start()
			said := make(chan struct{})
			go func() {
				tt.say(s, &listener{srv: s, socket: k.listeners[0].socket})
				close(said)
			}()
			select {
			case <-said:
			case <-time.After(10 * time.Second):
				t.Error("the loop waits for the log")
			}
			close(log.Core().(stalledCore).released)
			<-said
			s.journal.Close()
			if lines := logs.FilterMessage(tt.text).All(); len(lines) != 1 || lines[0].Level != tt.level {
				t.Errorf("the log has %v", logs.All())
			}
		})
	}
}
