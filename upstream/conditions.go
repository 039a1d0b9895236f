package upstream

import "time"

// Condition is what keeps an account, or a mailbox of a catch-all account, from
// sending as it could.
type Condition struct {
	// Stopped, Until and Reason are those of Standing.
	Stopped string
	Until   time.Time
	Reason  string
	// Throttled says that the provider asked for fewer connections.
	Throttled bool
	// Failure is why the last connection or login failed, nil after a success;
	// RetryAt is when the next may be tried.
	Failure *Error
	RetryAt time.Time
}

// Conditions returns the conditions of all accounts that have one, by the id of the
// account; a catch-all account has those of its mailboxes. The error is ErrStuck if a
// shard does not answer; the conditions of its accounts are missing then.
func (r *Relay) Conditions() (found map[string][]Condition, err error) {
	found = make(map[string][]Condition)
	for _, sh := range r.shards {
		part, stuck := ask(sh, sh.conditions)
		if stuck != nil {
			err = stuck
			continue
		}
		for id, conditions := range part {
			found[id] = append(found[id], conditions...)
		}
	}
	return found, err
}

// conditions returns the conditions of the accounts of the shard.
func (s *shard) conditions(now time.Time) map[string][]Condition {
	found := make(map[string][]Condition)
	for _, st := range s.accounts {
		c := Condition{Throttled: st.throttle.Limit(now) > 0}
		if stopped := st.throttle.Suspended(now); stopped != nil {
			c.Stopped, c.Until, c.Reason = stopped.Kind.String(), stopped.Until, stopped.Reason
		}
		if st.backoff.Failures() > 0 {
			c.Failure, c.RetryAt = st.backoff.Cause(), st.backoff.Until()
		}
		if !c.Throttled && c.Stopped == "" && c.Failure == nil {
			continue
		}
		id := st.id
		if base := st.account.Base(); base != nil {
			id = base.ID
		}
		found[id] = append(found[id], c)
	}
	return found
}
