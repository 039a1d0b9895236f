package upstream

import (
	"time"

	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/status"
)

type (
	// AccountState is what the relay has of one account at one moment.
	AccountState = status.AccountState
	// Condition is what keeps an account, or a mailbox of a catch-all account, from
	// sending as it could.
	Condition = status.Condition
	// Activity is what an account does at one moment.
	Activity = status.Activity
	// Use is how much of a limit an account has used.
	Use = status.Use
	// Standing is how the limits and the provider's replies restrict an account.
	Standing = status.Standing
)

// Conditions returns the conditions of all accounts that have one, by the id of the
// account; a catch-all account has those of its mailboxes. The error is ErrStuck if a
// shard does not answer; the conditions of its accounts are missing then.
func (r *Relay) Conditions() (found map[string][]Condition, err error) {
	return survey(r, (*accountState).condition)
}

// condition returns the condition of the account; false if it has none.
func (st *accountState) condition(now time.Time) (Condition, bool) {
	c := Condition{Throttled: st.throttle.Limit(now) > 0}
	if stopped := st.throttle.Suspended(now); stopped != nil {
		c.Stopped, c.Until, c.Reason = stopped.Kind.String(), stopped.Until, stopped.Reason
	}
	if st.backoff.Failures() > 0 {
		c.Failure, c.RetryAt = st.backoff.Cause(), st.backoff.Until()
	}
	return c, c.Throttled || c.Stopped != "" || c.Failure != nil
}

// Activities returns the activity of all accounts that were used lately, by the id of the
// account. The error is that of Conditions.
func (r *Relay) Activities() (map[string]Activity, error) {
	parts, err := survey(r, func(st *accountState, now time.Time) (a Activity, ok bool) {
		a.AccountState = st.state()
		if st.account.Base() == nil && !st.left {
			a.Uses = st.standing(now).Uses
		}
		return a, true
	})
	found := make(map[string]Activity, len(parts))
	for id, list := range parts {
		var sum Activity
		for _, a := range list {
			sum.Merge(a.AccountState)
			sum.Uses = append(sum.Uses, a.Uses...)
		}
		found[id] = sum
	}
	return found, err
}

// Counts is what became of the messages of one account.
type Counts = carry.AccountCounts

// Outcomes are the indices of Counts, by name.
var Outcomes = carry.ResultNames

// OutcomeLabel declares the label of a metric with these names.
const OutcomeLabel = carry.ResultLabel

// Counts returns those of the account with that id, mailboxes of a catch-all account
// included; nil if it has sent nothing, or without Config.CountByAccount.
func (r *Relay) Counts(id string) *Counts { return r.desk.ByAccount.Of(id) }
