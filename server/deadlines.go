package server

import (
	"time"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/server/internal/pace"
)

// deadlines are the timeouts of one session, on its loop.
type deadlines struct {
	timer loop.Timer
	ends  int64         // when the session is too old, in ticks of the loop
	state int64         // of the state, in ticks of the loop
	delay time.Duration // before the refusal of a login is sent
	pace  pace.Meter    // of the content
}

// tokenTimeout is how long a login waits for its token. The token manager has timeouts of
// its own, but not for a disk that hangs.
const tokenTimeout = time.Minute

// enter sets the deadline of a state. Of the await states only awaitToken has one: the relay
// and the password checker answer in bounded time.
func (d *deadlines) enter(l *loop.Loop, cfg *Config, next state) {
	d.keepPace(l.Now(), next)
	switch next {
	case stateProxyHeader, stateHandshake:
		d.set(l, cfg, next, cfg.HandshakeTimeout)
	case stateDetect:
		d.set(l, cfg, next, detectTimeout)
	case stateHello:
		d.set(l, cfg, next, cfg.GreetingTimeout)
	case stateReady:
		d.set(l, cfg, next, cfg.IdleTimeout)
	case stateData, stateBdat, stateBdatSkip:
		d.set(l, cfg, next, cfg.ContentTimeout)
	case stateDelayed:
		d.set(l, cfg, next, d.delay)
	case stateAwaitToken:
		d.set(l, cfg, next, tokenTimeout)
	case stateAwaitPassword, stateAwaitRcpts, stateAwaitUpstream:
		l.SuspendTimer(&d.timer)
	case stateLinger:
		d.set(l, cfg, next, lingerTimeout)
	case stateClosed:
		l.StopTimer(&d.timer)
	default:
		d.set(l, cfg, next, cfg.CommandTimeout)
	}
}

// set has the timer expire after the timeout of a state. SessionTimeout bounds it: an idle
// session ends then, a session in a transaction ContentTimeout later.
func (d *deadlines) set(l *loop.Loop, cfg *Config, next state, timeout time.Duration) {
	now := l.Now()
	d.state = now + loop.Ticks(timeout)
	switch {
	case next == stateLinger || next == stateDelayed:
	case idle.has(next):
		d.state = min(d.state, max(d.ends, now+1))
	default:
		d.state = min(d.state, max(d.ends+loop.Ticks(cfg.ContentTimeout), now+1))
	}
	d.arm(l)
}

// arm sets the timer to the deadline, or to the time at which the pace of the content is to
// be looked at.
func (d *deadlines) arm(l *loop.Loop) {
	at := d.state
	if d.pace.Running() {
		at = min(at, d.pace.Next())
	}
	l.SetTimer(&d.timer, at)
}

// keepPace starts and stops the measuring of the pace of content. It goes on between
// chunks, when the content so far is held, and through a refused line there.
func (d *deadlines) keepPace(now int64, next state) {
	switch running := d.pace.Running(); {
	case next == stateSkipLine:
	case !receiving.has(next):
		if running {
			d.pace.Stop()
		}
	case !running:
		d.pace.Start(now)
	}
}

// expired is to be called when the timer has expired. It reports whether the time is up,
// and whether that is for the pace of the content.
func (d *deadlines) expired(l *loop.Loop) (up, tooSlow bool) {
	now := l.Now()
	if look := d.pace.Running() && now >= d.pace.Next(); now >= d.state || !look {
		return true, false
	}
	if d.pace.TooSlow(now) {
		return true, true
	}
	d.arm(l)
	return false, false
}
