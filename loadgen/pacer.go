package main

import (
	"context"
	"sync/atomic"
	"time"
)

// A ticket is the right and the duty to send one message.
type ticket struct {
	seq   int
	phase int
	due   time.Time // when it ought to be sent; a latency counts from here
}

// A pacer gives the workers their tickets. Its clock starts with start.
type pacer interface {
	start()
	// take returns the next ticket as soon as it is due. It is false when
	// there are no more, or the context ends.
	take(ctx context.Context) (ticket, bool)
}

// closedPacer issues n tickets, each due when it is taken.
type closedPacer struct {
	n    int64
	next atomic.Int64
}

// start implements pacer.
func (p *closedPacer) start() {}

// take implements pacer.
func (p *closedPacer) take(ctx context.Context) (ticket, bool) {
	if ctx.Err() != nil { // asked first, so that no number is lost
		return ticket{}, false
	}
	seq := p.next.Add(1) - 1
	if seq >= p.n {
		return ticket{}, false
	}
	return ticket{seq: int(seq), due: time.Now()}, true
}

// openPacer issues tickets on a schedule, whether or not a worker is free to take them:
// those not taken in time can be taken at once later, with the time at which they were due.
//
// The free workers take turns: one of them has the turn and sleeps until the next message
// is due, which it then sends itself. So no worker has to be woken at the instant that
// counts.
type openPacer struct {
	sleep func(time.Duration)
	began time.Time

	turn     chan struct{} // holds one value while no worker has the turn
	schedule *schedule     // belongs to the worker with the turn, like seq
	seq      int
}

// newOpenPacer returns a pacer for the schedule. The sleep function must not
// oversleep much: what it does is added to the latencies.
func newOpenPacer(s *schedule, sleep func(time.Duration)) *openPacer {
	return &openPacer{schedule: s, sleep: sleep, turn: make(chan struct{}, 1)}
}

// start implements pacer.
func (p *openPacer) start() {
	p.began = time.Now()
	p.turn <- struct{}{}
}

// maxNap is the longest uninterrupted sleep: the end of the context is seen
// within it.
const maxNap = 50 * time.Millisecond

// take implements pacer.
func (p *openPacer) take(ctx context.Context) (ticket, bool) {
	select {
	case <-p.turn:
	case <-ctx.Done():
		return ticket{}, false
	}
	defer func() { p.turn <- struct{}{} }()
	a, ok := p.schedule.next()
	if !ok {
		return ticket{}, false
	}
	due := p.began.Add(a.offset)
	for wait := time.Until(due); wait > 0; wait = time.Until(due) {
		if ctx.Err() != nil {
			return ticket{}, false
		}
		p.sleep(min(wait, maxNap))
	}
	if ctx.Err() != nil {
		return ticket{}, false
	}
	t := ticket{seq: p.seq, phase: a.phase, due: due}
	p.seq++
	return t, true
}
