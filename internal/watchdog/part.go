package watchdog

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Kind is what a part is, and its label in the metrics.
type Kind uint8

// The kinds of parts.
const (
	Loop Kind = iota
	Shard
	TokenWorker
	QuotaStore
	TokenStore
	OrderStore
	AccountingWriter
	numKinds
)

var kindNames = [numKinds]string{"loop", "shard", "token worker", "quota store", "token store", "order store", "accounting writer"}

// String is the kind as it is named in texts.
func (k Kind) String() string { return kindNames[k] }

// Task describes a part, and how to find its goroutine.
type Task struct {
	Kind Kind
	// Number tells parts of a kind apart. A store has none: its operations are
	// parts that share a name.
	Number int
	// Beyond is how much longer than Config.Patience one piece of work may take,
	// because it has a deadline of its own.
	Beyond time.Duration
	// Aside: mail does not need the part. It is logged and counted when it is stuck;
	// Watchdog.Stuck does not name it, and Watchdog.Alive does not look at it.
	Aside bool
	// Func is the function, or the method of On if that is not nil, that is on the
	// stack while the part works, as stacks name it: "upstream.(*shard).handleFrom".
	Func string
	// On is the receiver of Func, a pointer.
	On any
	// Stuck, if not nil, is called on a goroutine of its own when the part is found
	// stuck.
	Stuck func()
}

// Part is one part of the process that must come back. The methods of a nil Part do
// nothing, so that code under test needs no watchdog.
type Part struct {
	dog  *Watchdog
	task Task
	name string

	begun, ended atomic.Uint64 // pieces of work; the part is idle when they are equal
	stuck        atomic.Bool

	// The fields below belong to the checker, under Watchdog.mu.

	seen uint64        // ended when the checker last looked
	open bool          // the part had work then
	busy time.Duration // for how long that work has not ended
}

// Begin says that there is a piece of work. If there was one before, that one goes
// on. It is safe for concurrent use.
func (p *Part) Begin() {
	if p != nil {
		p.begun.Add(1)
	}
}

// End says that all work begun so far has ended. It must not be called by two
// goroutines at one time.
func (p *Part) End() {
	if p != nil {
		p.ended.Store(p.begun.Load())
	}
}

// Next says that one piece of work has ended and another one begins.
func (p *Part) Next() {
	p.End()
	p.Begin()
}

// Stuck reports whether the part has been found stuck and has not come back yet.
func (p *Part) Stuck() bool { return p != nil && p.stuck.Load() }

// Remove ends the part.
func (p *Part) Remove() {
	if p != nil {
		p.dog.remove(p)
	}
}

// nameOf returns the name of the part of a task.
func nameOf(t Task) string {
	switch t.Kind {
	case Loop, Shard, TokenWorker:
		return fmt.Sprintf("%v %d", t.Kind, t.Number)
	}
	return t.Kind.String()
}

// look takes note of what the part has done since the last look, step ago.
func (p *Part) look(step, patience time.Duration) (stuck bool) {
	ended := p.ended.Load()
	open := p.begun.Load() != ended
	if !open || !p.open || ended != p.seen {
		p.seen, p.open, p.busy = ended, open, 0
		return false
	}
	p.busy += step
	return p.busy >= patience+p.task.Beyond
}
