package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// accounts chooses the account that a new connection logs in as. It is safe
// for concurrent use.
type accounts struct {
	logins []string

	mu   sync.Mutex // guards pick
	pick func() int
}

// newAccounts returns a choice among the logins: in turn if skew is 0, else
// the k-th most loaded account has a share in proportion to 1/k^skew.
// Which accounts those are is settled by the seed.
func newAccounts(logins []string, skew float64, seed uint64) *accounts {
	a := &accounts{logins: logins}
	if skew == 0 {
		next := -1
		a.pick = func() int {
			next = (next + 1) % len(logins)
			return next
		}
		return a
	}
	random := rand.New(rand.NewPCG(seed, 3))
	order := random.Perm(len(logins))
	zipf := rand.NewZipf(random, skew, 1, uint64(len(logins)-1))
	a.pick = func() int { return order[zipf.Uint64()] }
	return a
}

// next returns the index of an account.
func (a *accounts) next() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pick()
}

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
