package main

import (
	"context"
	"errors"
	"time"
)

// A worker is one connection of the load: it opens it, sends a message for
// each ticket it gets, and replaces it when it has carried enough of them or
// the server ends it.
type worker struct {
	number   int
	dialogue *dialogue
	accounts *accounts
	mix      *mix
	perConn  int // messages on a connection, 0: no limit
	pacer    pacer
	recorder *recorder
	journal  *journal

	session *session
	id      id
	issued  int // one more than the highest ticket it had
}

// run works until there are no more tickets.
func (w *worker) run(ctx context.Context) {
	for {
		t, ok := w.pacer.take(ctx)
		if !ok {
			break
		}
		w.issued = t.seq + 1
		w.message(t)
	}
	w.hangUp()
}

// message sends the message of one ticket and records what became of it.
func (w *worker) message(t ticket) {
	start := time.Now()
	if w.session != nil && w.session.stale(start) {
		w.session.conn.Close()
		w.session = nil
	}
	tmpl := w.mix.pick(t.seq)
	if w.session == nil {
		if err := w.connect(); err != nil {
			o := outcomeOf(err)
			w.journal.set(t.seq, -1, o.fate)
			w.recorder.message(w.number, t.phase, &o, 0, t.due, start)
			return
		}
	}
	s := w.session
	s.extend(start)
	w.id.set(t.seq)
	o := s.send(tmpl, &w.id)
	w.recorder.message(w.number, t.phase, &o, tmpl.size, t.due, start)
	w.journal.set(t.seq, s.account, o.fate)
	s.idleSince = time.Now()
	switch {
	case !o.usable:
		s.conn.Close()
		w.session = nil
	case w.perConn > 0 && s.messages >= w.perConn:
		w.hangUp()
	}
}

// connect opens the worker's connection.
func (w *worker) connect() error {
	start := time.Now()
	account := w.accounts.next()
	s, err := openSession(w.dialogue, account, w.accounts.logins[account])
	if err != nil {
		return err
	}
	w.session = s
	w.recorder.connection(w.number, time.Since(start))
	return nil
}

// outcomeOf returns the outcome of a message whose connection could not be had.
func outcomeOf(err error) outcome {
	o := outcome{fate: fateBroken, phase: phaseConnect, text: []byte(err.Error())}
	var failed *smtpError
	if errors.As(err, &failed) {
		o.phase, o.code, o.text = failed.phase, failed.code, []byte(failed.text)
		if failed.code != 0 {
			o.fate = fateRefused
		}
	}
	return o
}

// hangUp ends the worker's connection, if it has one.
func (w *worker) hangUp() {
	if w.session != nil {
		w.session.close()
		w.session = nil
	}
}
