package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/perf/lab"
)

// troubleNames are what goes wrong, in the order of the summary.
var troubleNames = []string{"faults", "faults of the network", "reloads", "proxy terminated under load", "proxy killed under load", "sandbox restarts", "network cut to come to rest", "rests"}

// phases are where faults strike; token is the token endpoint.
var phases = []sandbox.Phase{sandbox.PhaseConnect, sandbox.PhaseTLS, sandbox.PhaseBanner, sandbox.PhaseEHLO, sandbox.PhaseStartTLS,
	sandbox.PhaseAuth, sandbox.PhaseMail, sandbox.PhaseRcpt, sandbox.PhaseData, sandbox.PhaseMidContent, sandbox.PhaseAfterEOD,
	sandbox.PhaseAfterReply, sandbox.PhaseIdle, sandbox.PhaseQuit, sandbox.PhaseToken}

// actions are what faults do. The replies say nothing of the account, or it
// would be paused for hours.
var actions = []sandbox.Rule{
	{Action: sandbox.ActionReply, Reply: "452 4.2.2 not now"}, {Action: sandbox.ActionReply, Reply: "550 5.1.1 never"},
	{Action: sandbox.ActionReply, Reply: "421 4.4.2 going away"}, {Action: sandbox.ActionClose}, {Action: sandbox.ActionCut},
	{Action: sandbox.ActionReset}, {Action: sandbox.ActionStall}, {Action: sandbox.ActionSlow, Interval: sandbox.Duration(time.Millisecond)},
	{Action: sandbox.ActionGarbage}, {Action: sandbox.ActionHuge},
}

// randomRule is one that strikes a few times.
func randomRule(random *rand.Rand) sandbox.Rule {
	r := actions[random.IntN(len(actions))]
	r.Phase = phases[random.IntN(len(phases))]
	r.Every, r.Times = 1+random.Int64N(10), 1+random.Int64N(30)
	switch {
	case r.Phase == sandbox.PhaseToken && r.Action == sandbox.ActionReply:
		r.Reply, r.Status = "", 503
	case (r.Phase == sandbox.PhaseAfterReply || r.Phase == sandbox.PhaseIdle) && r.Action == sandbox.ActionReply:
		r.Reply = "421 4.4.2 going away" // the only reply that comes unasked
	case r.Phase == sandbox.PhaseAfterEOD && r.Action != sandbox.ActionReply:
		r.Accept = random.IntN(2) == 0 // it has the message and says nothing
	}
	return r
}

// upset makes one thing go wrong after another until ctx ends, and the last of
// them right again.
func (r *soak) upset(ctx context.Context, random *rand.Rand) {
	for {
		select {
		case <-ctx.Done():
			r.stand.faults(nil)
			r.stand.network.Heal()
			return
		case <-time.After(time.Duration(200+random.IntN(1800)) * time.Millisecond):
		}
		switch random.IntN(8) {
		case 0, 1:
			var rules []sandbox.Rule
			for range 1 + random.IntN(4) {
				rules = append(rules, randomRule(random))
			}
			r.tell("faults", fmt.Sprintf("%s/%s, ...", rules[0].Phase, rules[0].Action))
			r.stand.faults(rules)
		case 2, 3:
			r.stand.faults(nil)
		case 4:
			n := len(r.stand.accounts) - random.IntN(len(r.stand.accounts)/2)
			r.tell("reloads", fmt.Sprintf("%d accounts", n))
			r.stand.reload(n, random)
		case 5, 6:
			toxic := lab.RandomToxic(random)
			r.tell("faults of the network", toxic.Type)
			r.stand.network.Spoil([]string{clientSide, providerSide}[random.IntN(2)], toxic)
		case 7:
			r.stand.network.Heal()
		}
		if time.Now().After(r.nextLife) {
			r.newLife()
		}
	}
}

// newLife restarts the proxy under load: in order and by force in turn.
func (r *soak) newLife() {
	kill := r.lives%2 == 1
	what := "proxy terminated under load"
	if kill {
		what = "proxy killed under load"
	}
	r.lives++
	r.tell(what, "")
	r.judge()
	r.nextLife = time.Now().Add(r.life)
	if kill {
		r.stand.Signal(syscall.SIGKILL)
	}
	r.stand.Restart()
}

// tell counts a trouble and, if that is asked for, says so.
func (r *soak) tell(what, more string) {
	r.troubles[what]++
	if r.Verbose {
		fmt.Printf("%8s  %s %s\n", time.Since(r.started).Round(time.Second), what, more)
	}
}
