package matrix

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// usedUpCase is a fault of a connection that has carried a message, or of BDAT.
type usedUpCase struct {
	rule     sandbox.Rule
	want     string // what the client is told
	throttle bool   // the account has fewer connections for it
}

// usedUpCases are the faults, with what they lead to.
func usedUpCases() (all []usedUpCase) {
	add := func(want string, throttle bool, rule sandbox.Rule, replies ...string) {
		for _, reply := range replies {
			rule.Name, rule.Account, rule.Reply = "fault", victim, reply
			all = append(all, usedUpCase{rule, want, throttle})
		}
	}
	for _, at := range []sandbox.Phase{sandbox.PhaseMail, sandbox.PhaseData, sandbox.PhaseAfterEOD} {
		once := sandbox.Rule{Phase: at, Action: sandbox.ActionReply, Times: 1}
		add(delivered, false, once, "421 enough", "421 4.4.2 enough", "451 4.4.2 enough", "452 4.4.5 enough")
		add(said, true, once, "421 4.7.0 slower", "421 4.3.2 down")
		add(said, false, once, "452 4.2.2 full", "450 4.4.5 no", "550 5.4.5 no")
	}
	bdat := sandbox.Rule{Phase: sandbox.PhaseCommand, Verb: "BDAT", Action: sandbox.ActionReply}
	add(delivered, false, bdat, "500 5.5.2 what", "502 5.5.1 what", "503 5.5.1 sequence", "504 5.5.4 what", "552 5.3.4 size")
	add(said, false, bdat, "552 5.2.2 full", "501 5.5.4 syntax", "450 4.2.1 later")
	bdat.Action = sandbox.ActionIgnore
	add(lost, false, bdat, "")
	return all
}

// TestUsedUpAndBDAT has a provider end connections after a message, or not know the BDAT
// that it announces, with each way of sending and each kind of client.
func TestUsedUpAndBDAT(t *testing.T) {
	for _, preset := range []string{sandbox.PresetGmail, sandbox.PresetPlain} {
		for _, how := range []style{{}, {pipelined: true, bdat: true}} {
			for _, rcpts := range []int{1, 3} {
				for _, c := range usedUpCases() {
					if c.rule.Verb == "BDAT" && preset == sandbox.PresetPlain { // it does not announce CHUNKING
						continue
					}
					kind := matrixCase{point: point{name: string(c.rule.Phase)}, preset: preset, how: how, rcpts: rcpts}
					t.Run(kind.name(string(c.rule.Action)+" "+c.rule.Reply), func(t *testing.T) {
						t.Parallel()
						c.run(t, &kind)
					})
				}
			}
		}
	}
}

// run sends a message into the fault, over a connection that has carried one.
func (c *usedUpCase) run(t *testing.T, kind *matrixCase) {
	s := defaults(kind.preset)
	s.upstream.ThrottleRecovery = time.Hour // a throttle shows
	if c.rule.Action == sandbox.ActionIgnore {
		shortCommands(&s, brief)
	}
	k := newStack(t, s)
	bdat := c.rule.Verb == "BDAT"
	if !bdat {
		k.deliver(t, nil, victim, kind.rcpts, kind.how, false)
	}
	provider.Faults(t, k.sandbox, c.rule)
	l := newLetter(victim, kind.rcpts, contentSize)
	var cl *client
	o, err := k.try(&cl, l, kind.how)
	if err != nil {
		t.Fatal(err)
	}
	if got := o.told(0); !matches(got, c.want, c.rule.Reply) {
		t.Errorf("the client was told %q, want %q", got, c.want)
	}
	k.struck(t, 1)
	switch got, to := k.arrived(l), o.accepted(l); {
	case c.want != delivered && len(got) != 0:
		t.Errorf("the provider has %d copies", len(got))
	case c.want == delivered && (len(got) != 1 || len(to) != kind.rcpts):
		t.Errorf("told %+v, the provider has %d copies", o, len(got))
	case c.want == delivered:
		checkCopy(t, got[0], l, to)
	}
	if bdat && c.want != said { // the provider goes on so, and all goes by DATA
		k.deliver(t, nil, neighbour, kind.rcpts, kind.how, false)
		k.deliver(t, nil, victim, kind.rcpts, kind.how, false)
		if n := k.sandbox.Fired("fault"); n != 1 {
			t.Errorf("%d times BDAT", n)
		}
	}
	if n := testkit.Metrics(t, k.Metrics.WritePrometheus)[`upstream_throttle_events_total{action="concurrency"}`]; c.throttle != (n > 0) {
		t.Errorf("throttled %v times", n)
	}
	if cl != nil {
		cl.close()
	}
	k.Settled(t)
	k.Stop()
}
