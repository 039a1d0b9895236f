package loop

import (
	"math"
	"sync/atomic"
	"time"
)

// Tick is the resolution of all timers.
const Tick = 100 * time.Millisecond

const (
	wheelSlots = 512
	never      = math.MaxInt64
)

// Timer calls its Expirer on the loop that it is set on. The zero value with an
// Expirer is not set. It must not be copied while it is set.
type Timer struct {
	Expirer Expirer

	deadline   int64 // in ticks of the loop
	slot       int64 // the tick at which the wheel looks at it, while it is linked
	next, prev *Timer
}

// Expirer is told when a timer has expired, on its loop. It may set it again.
type Expirer interface{ Expired() }

// wheel is a hashed timing wheel, one for each loop. It is lazy: moving a deadline
// later only stores it, and the timer is put into its new slot when the old one
// comes up. The slots are rings through a timer that stands for the slot.
type wheel struct {
	now   int64 // ticks since the start
	slots [wheelSlots]Timer
	due   Timer // those that expire on this tick
}

func newWheel() *wheel {
	w := new(wheel)
	w.due.prev, w.due.next = &w.due, &w.due
	for i := range w.slots {
		s := &w.slots[i]
		s.prev, s.next = s, s
	}
	return w
}

// Now is the time of the loop's last tick, in ticks since its start. The clock is
// monotonic.
func (l *Loop) Now() int64 { return l.wheel.now }

// Ticks returns a number of ticks that is never shorter than d.
func Ticks(d time.Duration) int64 { return int64((d+Tick-1)/Tick) + 1 }

// SetTimer lets t expire at that tick of the loop's clock, in place of the deadline that
// was set before.
func (l *Loop) SetTimer(t *Timer, tick int64) {
	t.deadline = tick
	if t.next == nil || tick < t.slot {
		l.wheel.remove(t)
		l.wheel.link(t)
	}
}

// SuspendTimer keeps t from expiring until it is set again.
func (l *Loop) SuspendTimer(t *Timer) { t.deadline = never }

// Pending reports whether t is in a loop's clock. It may be suspended.
func (t *Timer) Pending() bool { return t.next != nil }

// StopTimer takes t out of the loop's clock.
func (l *Loop) StopTimer(t *Timer) { l.wheel.remove(t) }

func (w *wheel) link(t *Timer) {
	t.slot = max(t.deadline, w.now+1)
	w.slots[t.slot%wheelSlots].append(t)
}

// append puts t at the end of the ring.
func (ring *Timer) append(t *Timer) {
	t.prev, t.next = ring.prev, ring
	t.prev.next, ring.prev = t, t
}

// remove unlinks t, if it is linked.
func (w *wheel) remove(t *Timer) {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.slot, t.next, t.prev = 0, nil, nil
}

// advance moves the clock on by one tick and calls expired for each timer that is
// due. It may set and stop any timer. One that is suspended is unlinked; setting it
// links it again.
func (w *wheel) advance(expired func(*Timer)) {
	w.now++
	ring := &w.slots[w.now%wheelSlots]
	for t := ring.next; t != ring; {
		next := t.next
		if t.slot <= w.now {
			w.remove(t)
			switch {
			case t.deadline == never:
			case t.deadline > w.now:
				w.link(t)
			default:
				t.slot = w.now
				w.due.append(t)
			}
		}
		t = next
	}
	for t := w.due.next; t != &w.due; t = w.due.next {
		w.remove(t)
		expired(t)
	}
}

// tick is what moves a loop's clock on.
type tick struct {
	loop *Loop
	// posted is the time of the tick that is in the inbox, in nanoseconds since
	// 1970; 0: none is.
	posted atomic.Int64
	arming int64 // when all listeners are armed again, in ticks
}

// post posts a tick to the loop, unless the loop has not run the last one yet: then its
// timers wait like all else.
func (t *tick) post(now time.Time) {
	if !t.posted.CompareAndSwap(0, now.UnixNano()) {
		return
	}
	if t.loop.heartbeat != nil {
		t.loop.heartbeat.Begin()
	}
	if !t.loop.Post(t) {
		t.posted.Store(0)
	}
}

// Run implements Runner.
func (t *tick) Run() {
	l := t.loop
	if l.heartbeat != nil {
		l.heartbeat.End()
	}
	late := time.Duration(time.Now().UnixNano() - t.posted.Swap(0))
	if lag := l.engine.cfg.Lag; lag != nil {
		lag(max(0, late).Seconds())
	}
	missed := int64(late / Tick) // they were not posted
	for range 1 + max(0, missed) {
		l.wheel.advance(l.expire)
	}
	if l.Now() >= t.arming {
		t.arming = l.Now() + armInterval
		for _, from := range l.listeners { // some may have been disarmed
			l.arm(from)
		}
	}
}

// armInterval is how often all listeners are armed again, whether or not they were
// disarmed.
const armInterval = int64(time.Second / Tick)

// expire contains a panic of an Expirer.
func (l *Loop) expire(t *Timer) {
	defer l.contain(t.Expirer)
	t.Expirer.Expired()
}
