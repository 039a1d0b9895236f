package upstream

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// flight is a message that a loop carries over a connection that it drives: the
// commands and the content in one write, and then three replies. Whatever else
// becomes necessary is left to a worker.
type flight struct {
	dialogue
	shard *shard
	st    *accountState // to be named in events; not to be touched
	c     *conn
	tx    *Transaction
	id    uint64    // within the shard
	until time.Time // its answer is due

	// What follows belongs to the loop.

	a     attempt
	phase Phase // of the next reply
	start time.Time
	busy  bool // the TLS layer is at work, and what it meets is seen behind that
	looks int  // see Run

	// What follows belongs to the shard.

	late       bool // was broken off
	next, prev *flight
}

var flights = sync.Pool{New: func() any { return new(flight) }}

// fly has the loop that drives c carry tx.
func (s *shard) fly(st *accountState, c *conn, tx *Transaction, now time.Time) {
	f := flights.Get().(*flight)
	f.relay, f.shard, f.st, f.c, f.tx = s.relay, s, st, c, tx
	s.lastFlight++
	f.id = s.lastFlight
	f.until = now.Add(s.relay.finalTimeout(tx, now))
	if f.next = st.flights; f.next != nil {
		f.next.prev = f
	}
	st.flights = f
	s.flights++
	s.touch(st, f.until)
	if s.on == c.loop {
		s.on.Later(f)
	} else if !c.loop.Post(f) {
		s.enqueue(event{kind: evRetry, fresh: true, st: st, f: f, tx: tx, now: now})
	}
}

// land takes back a flight that has ended.
func (s *shard) land(f *flight) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		f.st.flights = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	s.flights--
	*f = flight{dialogue: dialogue{in: f.in, line: f.line[:0]}}
	flights.Put(f)
}

// maxLooks is how often a flight waits for the loop to read what has come in on
// its parked connection.
const maxLooks = 3

// Run implements Runner: it sends the message.
func (f *flight) Run() {
	c, tx, r := f.c, f.tx, f.relay
	c.flight = f
	defer c.contain()
	f.start = time.Now()
	state := c.state(f.start)
	if state == pending && f.looks < maxLooks {
		f.looks++
		if c.loop.Post(f) { // behind what it has to read
			c.flight = nil
			return
		}
	}
	r.metrics.phase(phaseQueue, f.start.Sub(tx.submitted))
	if state != usable && c.reused {
		c.flight = nil
		c.drop()
		r.metrics.stale.Inc()
		f.shard.postOn(event{kind: evRetry, st: f.st, f: f, tx: tx, now: f.start}, c.loop)
		return
	}
	if !tx.claim.CompareAndSwap(claimShard, claimCarrier) {
		f.withdraw()
		return
	}
	c.messages++
	c.wire.begin()
	f.in.reset()
	f.phase = PhaseMail
	f.a = r.newAttempt(c, tx)
	if state != usable { // it was lost before its first message: that is a failure like others
		f.fail(net.ErrClosed)
		return
	}
	if !f.start.Before(f.until) || r.ctx.Err() != nil { // the loop came to it too late
		f.fail(os.ErrDeadlineExceeded)
		return
	}
	if reply := unsupported(c, tx); !reply.IsZero() {
		f.a.decline(PhaseMail, reply)
		f.end()
		return
	}
	f.busy = true
	f.envelope(c, tx)
	err := f.writeBdat(c, tx, f.line)
	f.busy = false
	f.a.left = c.wire.left
	if err != nil {
		f.fail(err)
		return
	}
	tx.sent(c)
}

// read reads the replies that are there; the last one ends the flight.
func (f *flight) read() {
	for {
		final := f.phase == PhaseFinal
		f.busy = true
		reply, err := f.in.next(f.c, final)
		f.busy = false
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if f.c.wire.socket != nil {
				return // more is to come
			}
			err = net.ErrClosed // the answer to a KeyUpdate could not be sent
		}
		if !f.a.heard(f.phase, &reply, err) {
			break
		}
		if final {
			f.a.final(reply, nil)
			break
		}
		if f.phase++; f.phase == PhaseData {
			f.phase = PhaseFinal
		}
	}
	f.end()
}

// fail ends the flight without an answer of the provider, if there is none yet.
func (f *flight) fail(err error) {
	f.a.failed(f.phase, err)
	f.end()
}

// end tells the session and the shard what came of the flight. It is the
// shard's then.
func (f *flight) end() {
	c, tx, r, s, a := f.c, f.tx, f.relay, f.shard, &f.a
	now := time.Now()
	c.flight = nil
	if len(c.wire.input) > 0 || c.wire.readAhead() {
		c.unasked()
	}
	r.metrics.phase(phaseExchange, now.Sub(f.start))
	c.reused, c.lastUsed, c.retired = true, now, c.retired || a.retire
	if r.retries(tx, a, now) {
		c.drop()
		s.postOn(event{kind: evRetry, fresh: true, st: f.st, f: f, tx: tx, now: now}, c.loop)
		return
	}
	useless := a.lost || c.spoiled || f.in.buffered()
	on := c.loop
	done := event{kind: evDone, st: f.st, f: f, c: c, meter: tx.meter, now: now}
	res := a.result(c)
	a.outcome(&done, tx, &res)
	if !useless && !a.reset {
		// Before the client has its answer, so that its next message finds
		// the connection. The shard goes on even if telling the client panics.
		if s.enqueue(done) {
			defer s.drive(on)
		}
		r.finish(tx, res, now, on)
		return
	}
	// Before the client knows, so that its next message meets what this one has
	// led to; the connection takes a while yet.
	last := event{kind: evMend, st: f.st, f: f, c: c, reset: !useless, now: now}
	if c.wire.socket == nil {
		last.kind, last.c = evDone, nil
	}
	done.kind, done.f, done.c = evLearned, nil, nil
	tx.know(res)
	s.postOn(done, on)
	defer s.postOn(last, on)
	r.finish(tx, res, now, on)
}

// withdraw ends a flight whose message is not to be sent any more, before anything
// of it was. It is the shard's then.
func (f *flight) withdraw() {
	c := f.c
	c.flight = nil
	done := event{kind: evDone, st: f.st, f: f, c: c, meter: f.tx.meter, taken: f.tx.taken, now: f.start}
	f.tx.release()
	f.shard.postOn(done, c.loop)
}

// breakOff has the loop end the flight for that reason. It is called by the
// shard.
func (f *flight) breakOff(err error) {
	f.c.loop.Post(breakage{f.c, f.id, err})
}

// breakage ends a flight, unless it has ended.
type breakage struct {
	c   *conn
	id  uint64
	err error
}

// Run implements Runner.
func (b breakage) Run() {
	defer b.c.contain()
	if f := b.c.flight; f != nil && f.id == b.id {
		f.fail(b.err)
	}
}
