package upstream

import (
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// dialing is the opening of a connection, up to its adoption by a loop.
type dialing struct {
	relay   *Relay
	shard   *shard
	st      *accountState // to be named in events; not to be touched
	account *account.Account
	loop    *loop.Loop // is to serve the connection
	logins  int        // that were tried

	// What follows belongs to the shard.

	turnIn *loginLine // where the login has a turn, nil: nowhere
	began  time.Time  // its turn
}

// run opens the connection, on a goroutine of its own. A panic is contained: it costs
// the attempt.
func (d *dialing) run() {
	var err *Error
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = &Error{Phase: throttle.PhaseConnect, Err: d.relay.desk.Panicked(p)}
			}
		}()
		err = d.open()
	}()
	if err != nil {
		d.Failed(err, nil)
	}
}

// open logs in and has the loop take the connection, which tells the shard.
func (d *dialing) open() *Error {
	l, err := d.relay.logins.Open(d.relay.ctx, d.account, &d.logins)
	if err != nil {
		return err
	}
	c := d.relay.desk.NewConn(d.shard, d.st, d.account, d.loop, d)
	if aerr := c.Adopt(l); aerr != nil {
		return &Error{Phase: throttle.PhaseConnect, Err: aerr}
	}
	return nil
}

// Failed implements carry.Login: it tells the shard that there is no connection.
func (d *dialing) Failed(err *Error, on *loop.Loop) {
	fields := []zap.Field{zap.String("account", d.account.ID), zap.String("upstream", d.account.SMTP.String()),
		zap.Stringer("phase", err.Phase), zap.Int("code", err.Reply.Code), zap.String("error", smtpclient.Cut(err.Error()))}
	if class, _, ok := err.Explain(); ok {
		fields = append(fields, zap.Stringer("class", class))
	}
	fields = append(fields, err.Entry().Fields()...)
	d.shard.call(func(now time.Time) {
		level := zap.WarnLevel
		if err.Verdict().Account == throttle.AccountHold && !d.st.throttle.Held() {
			level = zap.DebugLevel // the line about the account says it
		}
		d.relay.log.Log(level, "upstream login failed", fields...)
		d.shard.onDialFailed(d, err, now)
	}, on)
}
