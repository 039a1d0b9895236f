package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/perf/lab"
)

// A rest is a time in which nothing happens, after failures of all kinds: what the
// proxy then waits for comes to its end undisturbed. Nothing may
// run on by itself meanwhile, and afterwards each account sends again.

const (
	// longRest is longer than any pause of an account after a failure, and than it is
	// remembered.
	longRest = 95 * time.Second
	// shortRest is for runs that are too short for a long one.
	shortRest = 5 * time.Second
	// aroundRest is about what the failures before a rest and the messages after it
	// take.
	aroundRest = 15 * time.Second
	// restLook is how often the CPU time of the proxy is looked at.
	restLook = 10 * time.Second
	// busyRest is how many seconds of CPU time in a second of a rest say that something
	// runs in circles. A proxy at rest takes about a hundredth of a second; one that
	// runs in circles takes whole seconds, if others leave them to it.
	busyRest = 0.2
	// restPatience is how long an account may refuse messages after a rest: some
	// pauses last for a minute.
	restPatience = 75 * time.Second
)

// planRests completes the options and says how long there are rounds before each
// rest.
func (o *Command) planRests() (spacing time.Duration, err error) {
	if o.Rests < 0 {
		o.Rests = max(1, int(o.Duration/(10*time.Minute)))
	}
	if o.Rest == 0 {
		o.Rest = shortRest
		if o.Duration >= 5*time.Minute {
			o.Rest = longRest
		}
	}
	spacing = (o.Duration - time.Duration(o.Rests)*(o.Rest+aroundRest)) / time.Duration(o.Rests+1)
	if spacing < shortRest {
		return 0, fmt.Errorf("--duration is too short for %d rests of %v", o.Rests, o.Rest)
	}
	return spacing, nil
}

// restFailures are what accounts meet before a rest, one after the other. At auth
// and connect it takes an account without a connection.
var restFailures = []sandbox.Rule{
	{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "535 5.7.8 refused"},
	{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "535 5.7.139 the account may not submit"},
	{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "454 4.7.0 not now"},
	{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "451 4.7.0 slower"},
	{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "421 4.3.2 not now"},
	{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "550 5.7.1 refused"},
	{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "452 4.2.2 not now"},
	{Phase: sandbox.PhaseConnect, Action: sandbox.ActionReset},
}

// rest has all accounts fail, lets time pass, and looks at what the proxy did
// meanwhile. The clients are quiet.
func (r *soak) rest(ctx context.Context) {
	r.quiet.Lock()
	defer r.quiet.Unlock()
	r.tell("rests", r.Rest.String())
	r.fail(ctx)
	busiest := 0.0
	for left := r.Rest; left > 0 && ctx.Err() == nil; left -= restLook {
		busiest = max(busiest, r.idle(ctx, min(left, restLook)))
	}
	r.restLoad = max(r.restLoad, busiest)
	if busiest > busyRest {
		r.failures = append(r.failures, fmt.Errorf("the proxy took %.2f s of CPU time in a second of a rest", busiest))
	}
	r.wake(ctx)
}

// idle lets time pass and returns how many seconds of CPU time the proxy took in a
// second of it.
func (r *soak) idle(ctx context.Context, d time.Duration) (load float64) {
	const cpu = "process_cpu_seconds_total"
	before, began := r.stand.Metrics()[cpu], time.Now()
	select {
	case <-ctx.Done():
		return 0
	case <-time.After(d):
	}
	return (r.stand.Metrics()[cpu] - before) / time.Since(began).Seconds()
}

// fail lets each account send, and then fail. Accounts that a reload has taken away
// come back first.
func (r *soak) fail(ctx context.Context) {
	r.stand.reload(len(r.stand.accounts), nil)
	r.all(func(login string) error { return r.until(ctx, login, shortRest) }) // some pause after the last round
	r.unconnected()
	for i, rule := range restFailures {
		var rules []sandbox.Rule
		var logins []string
		for j := i; j < len(r.stand.logins); j += len(restFailures) {
			logins = append(logins, r.stand.logins[j])
			if rule.Phase == sandbox.PhaseConnect { // no login is known there
				rules = []sandbox.Rule{rule}
				continue
			}
			rule.Account = r.stand.logins[j]
			rules = append(rules, rule)
		}
		if len(rules) == 0 {
			break
		}
		r.stand.faults(rules)
		for _, login := range logins {
			if _, err := r.message(login); err == nil {
				lab.Failf("%s sends in spite of %s at %s", login, rule.Action, rule.Phase)
			}
		}
	}
	r.stand.faults(nil)
}

// unconnected waits until the idle timeout has ended all connections to the
// provider.
func (r *soak) unconnected() {
	r.poll("the proxy keeps connections that are idle", func(m lab.Metrics) bool {
		open := 0.0
		for _, state := range []string{"dialing", "active", "parked", "closing"} {
			open += m[`upstream_connections{state="`+state+`"}`]
		}
		return open == 0
	})
}

// wake has an operator release what waits for one, and each account send.
func (r *soak) wake(ctx context.Context) {
	failed := r.all(func(login string) error {
		if err := lab.Try(func() { r.stand.resume(login) }); err != nil {
			return err
		}
		return r.until(ctx, login, restPatience)
	})
	if len(failed) > 0 {
		r.failures = append(r.failures, fmt.Errorf("after a rest %d of %d accounts do not send, such as %w", len(failed), len(r.stand.logins), failed[0]))
	}
}

// all calls f for all accounts at once and returns the errors.
func (r *soak) all(f func(login string) error) (failed []error) {
	var running sync.WaitGroup
	var mu sync.Mutex // guards failed
	for _, login := range r.stand.logins {
		running.Go(func() {
			if err := f(login); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, fmt.Errorf("%s: %w", login, err))
			}
		})
	}
	running.Wait()
	return failed
}

// until sends messages of the account until one is accepted. One without any answer
// is an error at once, one that is refused after a time.
func (r *soak) until(ctx context.Context, login string, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; {
		answered, err := r.message(login)
		if err == nil || !answered || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second / 2):
		}
	}
}

// message sends one message of the account. Without an answer to it, err says why.
func (r *soak) message(login string) (answered bool, err error) {
	c, err := open(r.stand.Addr, login, rand.New(rand.NewPCG(rand.Uint64(), 0)))
	if err != nil {
		r.ledger.noLogin()
	} else {
		defer c.Close()
		m := message{run: r.ledger.run, number: r.ledger.number(), login: login, octets: 100, recipients: 1, bdat: true}
		var became fate
		became, err = m.send(c)
		r.ledger.enter(m.number, became)
	}
	_, answered = errors.AsType[lab.Refusal](err)
	return answered, err
}
