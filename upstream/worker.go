package upstream

import (
	"fmt"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// taskKind says what a worker is to do.
type taskKind uint8

const (
	taskRelay taskKind = iota // send tx over conn
	taskDial                  // open a connection of account
	taskQuit                  // close conn
	taskMend                  // make conn fit for the next transaction, or part with it
)

// task is what a shard gives to a worker.
type task struct {
	kind    taskKind
	st      *accountState // to be named in the event at the end; not to be touched
	conn    *conn
	tx      *Transaction
	account *account.Account
	loop    Loop // taskDial: is to drive the connection; may be nil
	reset   bool // taskMend: RSET will do
}

// dialogue is what it takes to talk to the provider over one connection at a
// time.
type dialogue struct {
	relay *Relay
	in    replyReader
	line  []byte // commands of the next flight
}

// worker is a goroutine that does the I/O of one connection at a time. The
// shard has at most one task for it under way.
type worker struct {
	dialogue
	shard *shard
	tasks chan task     // capacity 1; closed to end the worker
	turn  chan struct{} // capacity 1; the session ended its turn
	hold  *time.Timer   // bounds the session's turn
	// logins counts what connect tried.
	logins int
	// holds is the connection in use, for Relay.Close to break: not the conn,
	// which may become a loop's just then.
	holds atomic.Pointer[net.TCPConn]

	// What follows belongs to the shard.

	index     int        // in shard.active
	idleSince time.Time  // in shard.idle
	turnIn    *loginLine // where its login has a turn, nil: nowhere
	began     time.Time  // its turn
}

func newWorker(s *shard) *worker {
	return &worker{dialogue: dialogue{relay: s.relay}, shard: s, tasks: make(chan task, 1), turn: make(chan struct{}, 1)}
}

// run works until tasks is closed.
func (w *worker) run() {
	for t := range w.tasks {
		switch t.kind {
		case taskRelay:
			w.send(t)
		case taskDial:
			w.dial(t)
		case taskQuit:
			w.quit(t)
		case taskMend:
			w.mend(t)
		}
	}
}

// breakOff closes the connection in use, so that what goes on there fails. It
// is called from another goroutine.
func (w *worker) breakOff() {
	if tcp := w.holds.Load(); tcp != nil {
		_ = tcp.Close()
	}
}

// use takes a connection into use.
func (w *worker) use(c *conn) {
	w.holds.Store(c.wire.tcp)
	if w.relay.ctx.Err() != nil { // breakOff may have come before
		c.close()
	}
	w.in.reset()
}

// done tells the shard how the task ended; the next one may be there when it
// returns.
func (w *worker) done(e event) {
	w.holds.Store(nil)
	e.w = w
	w.shard.post(e)
}

// dial opens a connection. A panic is contained: it costs the attempt.
func (w *worker) dial(t task) {
	var c *conn
	var err *Error
	func() {
		defer func() {
			if p := recover(); p != nil {
				c, err = nil, &Error{Phase: PhaseConnect, Err: w.relay.panicked(p)}
				w.breakOff()
			}
		}()
		if c, err = w.connect(t.account); err == nil {
			if herr := w.handOver(c, t.st, t.loop); herr != nil {
				c, err = nil, &Error{Phase: PhaseConnect, Err: herr}
			}
		}
	}()
	e := event{kind: evDialed, st: t.st, c: c, now: time.Now(), logins: w.logins}
	if err != nil {
		e.kind, e.err = evDialFailed, err
		fields := []zap.Field{zap.String("account", t.account.ID), zap.String("upstream", t.account.SMTP.String()),
			zap.Stringer("phase", err.Phase), zap.Int("code", err.Reply.Code), zap.String("error", cut(err.Error()))}
		if class, hint, ok := err.Explain(); ok {
			fields = append(fields, zap.Stringer("class", class), zap.String("hint", hint))
		}
		w.relay.log.Warn("upstream login failed", fields...)
	}
	w.done(e)
}

// quit closes a connection with QUIT and waits a little for the answer, so
// that the provider does not count the connection any more when we do not.
func (w *worker) quit(t task) {
	if w.takeBack(t.conn) != nil {
		w.done(event{kind: evClosed, st: t.st, now: time.Now()})
		return
	}
	if _, err := w.ask(t.conn, PhaseFinal, []byte("QUIT\r\n"), w.relay.cfg.QuitTimeout); err == nil {
		_ = t.conn.tls.Close()
	} else {
		t.conn.close()
	}
	w.done(event{kind: evClosed, st: t.st, now: time.Now()})
}

// mend brings a connection that a loop has carried a message over into a state
// from which it can go on, or parts with it.
func (w *worker) mend(t task) {
	if w.takeBack(t.conn) != nil {
		w.done(event{kind: evDone, st: t.st, now: time.Now()})
		return
	}
	w.giveBack(event{kind: evDone, st: t.st}, t.conn, &attempt{reset: t.reset, lost: !t.reset})
}

// send sends a transaction. The shard gets the connection back, unless it is
// lost, and the transaction, if it is to go over another one.
func (w *worker) send(t task) {
	c, tx := t.conn, t.tx
	gone := w.takeBack(c) != nil
	start := time.Now()
	m := w.relay.metrics
	m.phase(phaseQueue, start.Sub(tx.submitted))
	if gone || c.reused && !c.alive() {
		if !gone {
			c.close()
		}
		m.stale.Inc()
		w.done(event{kind: evRetry, st: t.st, tx: tx, now: start})
		return
	}
	if !tx.claim.CompareAndSwap(claimShard, claimCarrier) { // it is not to be sent any more
		done := event{kind: evDone, st: t.st, c: c, meter: tx.meter, taken: tx.taken, now: start}
		tx.release()
		w.done(done)
		return
	}
	c.messages++
	a := w.relay.newAttempt(c, tx)
	done := event{kind: evDone, st: t.st, w: w, meter: tx.meter}
	owned := w.attempt(c, tx, &a, start)
	now := time.Now()
	if !a.told { // what includes the client's time tells nothing about the upstream
		m.phase(phaseExchange, now.Sub(start))
	}
	c.reused, c.lastUsed, c.retired = true, now, c.retired || a.retire
	switch {
	case !owned:
		done.taken, done.probe = a.taken, a.probe
		if done.err = a.noted; !a.open() {
			done.err = graver(a.noted, a.failure(c))
		}
		w.giveBack(done, c, &a)
	case w.relay.retries(tx, &a, now):
		c.leave(w.relay.cfg.QuitTimeout)
		w.done(event{kind: evRetry, fresh: true, st: t.st, tx: tx, now: now})
	case a.lost || a.reset || w.in.buffered():
		res := a.result(c)
		a.outcome(&done, tx, &res)
		w.discountDryRun(&done)
		// Before the client knows, so that its next message meets what this
		// one has led to; the connection takes a while yet.
		done.kind, done.now = evLearned, now
		tx.know(res)
		w.shard.post(done)
		w.relay.finish(tx, res, now, nil)
		w.giveBack(event{kind: evDone, st: t.st}, c, &a)
	default:
		// The connection is in the mailbox before the client has its answer, so
		// that its next message finds it; nothing else is done before that.
		res := a.result(c)
		a.outcome(&done, tx, &res)
		w.discountDryRun(&done)
		if w.relay.drivable(c, tx) { // the next one like it goes over the loop
			if w.handOver(c, t.st, tx.Loop) != nil {
				c = nil
			}
		}
		done.c, done.now = c, now
		w.holds.Store(nil)
		idle := w.shard.enqueue(done)
		w.relay.finish(tx, res, now, nil)
		if idle {
			w.shard.drive(nil)
		}
	}
}

// attempt makes one try. If it returns true, tx is still the relay's and the
// attempt has the answer to it. A panic is contained: it costs the connection.
func (w *worker) attempt(c *conn, tx *Transaction, a *attempt, start time.Time) (owned bool) {
	owned = true
	defer func() {
		if p := recover(); p != nil {
			a.left = true // nothing is known any more
			a.failed(a.phase, w.relay.panicked(p))
		}
	}()
	c.wire.begin()
	if tx.Content == nil {
		w.interactive(c, tx, a, &owned)
	} else {
		w.whole(c, tx, a, start)
	}
	return owned
}

// panicked counts and logs a panic and makes an error of it.
func (r *Relay) panicked(p any) error {
	r.log.Error("panic while relaying", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
	r.metrics.panics.Inc()
	return fmt.Errorf("internal error: %v", p)
}

// giveBack returns a connection to the shard, as soon as it is fit for the next
// transaction, or its loss.
func (w *worker) giveBack(done event, c *conn, a *attempt) {
	if a.reset && !a.lost && !c.retired {
		a.lost = !w.inStep(c, a) || !w.rset(c)
	}
	if a.lost || w.in.buffered() { // a reply to nothing: 421, or we are out of step
		c.leave(w.relay.cfg.QuitTimeout)
		c = nil
	}
	done.c, done.now = c, time.Now()
	w.done(done)
}

// inStep reports whether the next reply will be that to the next command, as far as
// one can see. Where one command is sent at a time, nothing shows whether a refusal
// of MAIL was that, or something unasked that crossed it.
func (w *worker) inStep(c *conn, a *attempt) bool {
	return !w.spokenTo(c) && (a.phase != PhaseMail || !a.reused || c.ext.Has(codec.ExtPIPELINING))
}

// rset ends the transaction; false if the upstream did not take that.
func (w *worker) rset(c *conn) bool {
	reply, err := w.ask(c, PhaseMail, []byte("RSET\r\n"), w.relay.cfg.CommandTimeout)
	return err == nil && reply.Code/100 == 2
}

// discountDryRun: nothing was sent, so nothing counts.
func (w *worker) discountDryRun(done *event) {
	if w.relay.cfg.DryRun {
		done.accepted = 0
	}
}
