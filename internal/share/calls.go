package share

import (
	"context"
	"errors"
	"math"
	"time"

	"go.uber.org/zap"
)

const (
	unbounded = math.MaxInt

	// lookEvery is how often the sharer looks at what time changes.
	lookEvery = time.Second
	// retryFirst, retryMost: how long the sharer waits after a call without an answer,
	// twice as long each time.
	retryFirst, retryMost = 100 * time.Millisecond, time.Second
	// patienceMost bounds how long a call may take: CallTimeout, and twice as long after each
	// one that was not answered, so that a slow store is no lost one.
	patienceMost = 8 * CallTimeout
)

var errAnswer = errors.New("the answer does not fit the question")

// calls is what the sharer knows of its calls. Only its goroutine uses it.
type calls struct {
	seq      uint64
	epoch    string
	answered time.Time // when the last answered call was sent
	out      bool      // an outage is logged

	patience time.Duration
	pause    time.Duration // after the next failure
	retry    time.Time     // no call before
	renew    time.Time     // when all are renewed next
	look     time.Time     // when to look at the mailboxes next
	turned   [NumKinds]time.Time
}

// share renews leases until the member is closed.
func (m *Member) share() {
	c := &m.calls
	c.patience, c.pause = CallTimeout, retryFirst
	timer := time.NewTimer(0)
	defer timer.Stop()
	for m.ctx.Err() == nil {
		select {
		case <-m.ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
		if now := time.Now(); !now.Before(c.look) {
			m.look(now)
		}
		m.renewDue(time.Now())
		timer.Reset(time.Until(c.next(m.joined.Load())))
	}
}

// next is when the sharer has something to do, if it is not woken.
func (c *calls) next(joined bool) time.Time {
	next := c.renew
	if c.retry.After(time.Now()) {
		next = c.retry
	}
	if !joined || c.look.Before(next) {
		next = c.look
	}
	return next
}

// renewDue sends the reports that are due.
func (m *Member) renewDue(now time.Time) {
	c := &m.calls
	if !m.joined.Load() || now.Before(c.retry) {
		return
	}
	if m.whole.Swap(false) || !now.Before(c.renew) {
		c.renew = now.Add(RenewEvery)
		m.posted()
		m.call(m.all())
	} else if list := m.posted(); len(list) > 0 {
		m.call(list)
	}
}

// call sends the reports of mailboxes, and takes the answer.
func (m *Member) call(boxes []*mailbox) {
	c := &m.calls
	sent := time.Now()
	reports := make([]Report, 0, len(boxes))
	asked := boxes[:0]
	for _, b := range boxes {
		if r, ok := b.report(c.seq+1, sent); ok {
			c.seq++
			reports, asked = append(reports, r), append(asked, b)
		}
	}
	ctx, cancel := context.WithTimeout(m.ctx, c.patience)
	answer, err := m.store.Renew(ctx, m.node, reports)
	cancel()
	now := time.Now()
	if err == nil && len(answer.Grants) != len(reports) {
		err = errAnswer
	}
	m.count.renewed(err, now.Sub(sent))
	if m.ctx.Err() != nil {
		return
	}
	if err != nil {
		m.failed(now, err)
		return
	}
	m.succeeded(sent, now)
	if known := c.epoch; known != answer.Epoch {
		c.epoch = answer.Epoch
		if known != "" {
			m.startAgain()
			return
		}
	}
	for i, b := range asked {
		r, g := &reports[i], &answer.Grants[i]
		if g.Stale || g.Key != r.Key || g.Seq != r.Seq {
			m.count.stale.Inc()
			c.retry = now.Add(retryFirst)
			m.post(b)
			continue
		}
		changed, left := b.answered(g, sent, now)
		if changed != nil {
			changed()
		}
		if left {
			m.forget(b)
		}
	}
}

// failed notes that a call was not answered: all that was in it is sent again.
func (m *Member) failed(now time.Time, err error) {
	c := &m.calls
	c.patience = min(2*c.patience, patienceMost)
	c.retry = now.Add(c.pause)
	c.pause = min(2*c.pause, retryMost)
	c.renew = c.retry
	m.outage(now, err)
	if !m.failing.Swap(true) {
		m.look(now)
	}
}

// outage logs one, once it is one.
func (m *Member) outage(now time.Time, err error) {
	c := &m.calls
	if c.out || now.Sub(c.answered) < TTL {
		return
	}
	c.out = true
	m.count.outages.Inc()
	m.log.Error("the store of the shared limits does not answer: nothing new begins", zap.Error(err))
}

// succeeded notes that a call was answered.
func (m *Member) succeeded(sent, now time.Time) {
	c := &m.calls
	if now.Sub(sent) < c.patience/4 {
		c.patience = max(c.patience/2, CallTimeout)
	}
	c.pause, c.retry = retryFirst, time.Time{}
	m.failing.Store(false)
	if c.out {
		c.out = false
		m.log.Info("the store of the shared limits answers again", zap.Duration("after", now.Sub(c.answered)))
	}
	c.answered = sent
}

// startAgain has all be reported with the hours, because the store has another epoch: what the
// answer granted is not used.
func (m *Member) startAgain() {
	m.log.Warn("the store of the shared limits began anew: it is told again what this node has and has counted")
	for _, b := range m.all() {
		b.begin()
	}
	m.whole.Store(true)
	m.stir()
	m.hurry()
}

// look sees what time has changed.
func (m *Member) look(now time.Time) {
	c := &m.calls
	c.look = now.Add(lookEvery)
	if !m.joined.Load() && !m.foreign.Load() {
		m.outage(now, errNotJoined)
	}
	var terms [NumKinds]bool
	for k := range terms {
		if term := Kind(k).term(); now.Sub(c.turned[k]) >= term {
			terms[k], c.turned[k] = true, now
		}
	}
	for _, b := range m.all() {
		urgent, due, changed := b.look(now, terms)
		if urgent {
			m.post(b)
		}
		if !due.IsZero() && due.Before(c.look) {
			c.look = due
		}
		if changed != nil {
			changed()
		}
	}
}

// giveBack sends the last reports: what is in use alone. Leases are over for this process.
func (m *Member) giveBack() {
	boxes := m.all()
	reports := make([]Report, 0, len(boxes))
	for _, b := range boxes {
		m.calls.seq++
		reports = append(reports, b.end(m.calls.seq))
	}
	if len(reports) == 0 || !m.joined.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patienceMost)
	defer cancel()
	if _, err := m.store.Renew(ctx, m.node, reports); err != nil {
		m.log.Warn("what the node had leased is not given back: it ends by itself", zap.Error(err))
	}
}
