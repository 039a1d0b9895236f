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
	resend   time.Duration
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
		w.message(ctx, t)
	}
	w.hangUp()
}

// resendPause is how long a worker waits before it sends a message again.
const resendPause = 250 * time.Millisecond

// message sends the message of one ticket, again if it has to and may, and records what
// became of it.
func (w *worker) message(ctx context.Context, t ticket) {
	for {
		start := time.Now()
		o, size := w.attempt(t, start)
		if !o.forNow() || time.Since(t.due) > w.resend || ctx.Err() != nil {
			w.recorder.message(w.number, t.phase, &o, size, t.due, start)
			return
		}
		w.recorder.resent(w.number, &o)
		select {
		case <-ctx.Done():
		case <-time.After(resendPause):
		}
	}
}

// attempt sends the message of a ticket once, and returns its size.
func (w *worker) attempt(t ticket, start time.Time) (outcome, int) {
	if w.session != nil && w.session.stale(start) {
		w.session.conn.Close()
		w.session = nil
	}
	tmpl := w.mix.pick(t.seq)
	if w.session == nil {
		if err := w.connect(); err != nil {
			o := outcomeOf(err)
			w.journal.set(t.seq, -1, o.fate)
			return o, 0
		}
	}
	s := w.session
	s.extend(start)
	w.id.set(t.seq)
	o := s.send(tmpl, &w.id)
	w.journal.set(t.seq, s.account, o.fate)
	s.idleSince = time.Now()
	switch {
	case !o.usable:
		s.conn.Close()
		w.session = nil
	case w.perConn > 0 && s.messages >= w.perConn:
		w.hangUp()
	}
	return o, tmpl.size
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
