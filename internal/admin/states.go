package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The states of an account, one for each account at a time: the gravest.
const (
	// StateActive: nothing is against it.
	StateActive = "active"
	// StateThrottled: the provider takes less than the account's limits.
	StateThrottled = "throttled"
	// StateFailing: the last token request, connection or login failed; it is tried
	// again.
	StateFailing = "failing"
	// StateQuota: a quota of the provider is used up, for some time.
	StateQuota = "quota"
	// StateHeld: the provider refuses the account's mail, until an operator acts or a
	// probe is taken.
	StateHeld = "held"
	// StateRefused: the provider refuses the account's credentials or its login, until
	// an operator acts.
	StateRefused = "refused"
	// StateUnknown: the part of the proxy that knows does not answer.
	StateUnknown = "unknown"
	// StatePaused and StateDraining: an operator's order.
	StateDraining = "draining"
	StatePaused   = "paused"
)

// States are all states of an account.
var States = []string{StateActive, StateThrottled, StateFailing, StateQuota, StateHeld,
	StateRefused, StateUnknown, StateDraining, StatePaused}

// StatesBroken is a name for the states of accounts that do not send as they should.
const StatesBroken = "broken"

var broken = []string{StateThrottled, StateFailing, StateQuota, StateHeld, StateRefused, StateUnknown}

// Status is the state of an account, in one word of States.
type Status struct {
	State string `json:"state"`
	// Detail says why, in one line.
	Detail string `json:"state_detail,omitempty"`
	// Until is when the state ends or the next try is made, if that is known.
	Until *time.Time `json:"state_until,omitempty"`
}

// WantedStates reads a list of states with commas between them; "" is none. "broken" is
// a group.
func WantedStates(list string) (wanted []string, err error) {
	for name := range strings.SplitSeq(list, ",") {
		switch name = strings.ToLower(strings.TrimSpace(name)); {
		case name == "":
		case name == StatesBroken:
			wanted = append(wanted, broken...)
		case slices.Contains(States, name):
			wanted = append(wanted, name)
		default:
			return nil, fmt.Errorf("state: %q is none of %s, %s", name, strings.Join(States, ", "), StatesBroken)
		}
	}
	return wanted, nil
}
