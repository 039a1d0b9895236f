package upstream

import (
	"time"

	"xoauth2-proxy/upstream/internal/limit"
)

// Use is how much of a limit an account has used.
type Use struct {
	// Limit is the name of the limit, as in "messages a day".
	Limit string
	Used  int
	// Max is the limit, 0 where there is none.
	Max int
}

// Standing is how the limits and the provider's replies restrict an account.
type Standing struct {
	// Uses are the limits of the account in some time; those that are not set
	// and not counted are left out.
	Uses []Use
	// Connections is how many connections the account may have now, because the
	// provider asked for less; 0 if as many as its limits say.
	Connections int
	// Stopped is why the account sends nothing: "throttled", "quota", or
	// "held" until ReleaseHold or a probe; empty if it sends. Until is when that
	// ends, zero if that is not known; Reason what the provider said.
	Stopped string
	Until   time.Time
	Reason  string
	// NextProbe is from when on the next message of a held account is passed on,
	// to see whether the provider takes it; zero if the account is not held.
	NextProbe time.Time
}

// Standing returns the standing of the account with that id; nil if the relay
// knows of nothing: it has not been used lately, and is free to send. The error is
// ErrStuck if its shard does not answer.
func (r *Relay) Standing(id string) (*Standing, error) {
	parts, err := survey(r, func(st *accountState, now time.Time) (is Standing, ok bool) {
		if st.id != id || st.left {
			return is, false
		}
		return st.standing(now), true
	})
	for _, is := range each(parts) {
		return &is, err
	}
	return nil, err
}

func (st *accountState) standing(now time.Time) (out Standing) {
	if m := st.meter; m != nil {
		m.Advance(now)
		for kind := range limit.LoginsPerMinute {
			if used, ok := m.Used(kind); ok {
				out.Uses = append(out.Uses, Use{kind.String(), used, kind.Of(&st.account.Limits)})
			}
		}
	}
	if most := st.account.Limits.LoginsPerMinute; most > 0 {
		used := st.mailbox.dialing
		if st.logins != nil {
			st.logins.Advance(now)
			used += st.logins.Sum()
		}
		out.Uses = append(out.Uses, Use{limit.LoginsPerMinute.String(), used, most})
	}
	out.Connections = st.throttle.Limit(now)
	if stopped := st.throttle.Suspended(now); stopped != nil {
		out.Stopped, out.Until, out.Reason = stopped.Kind.String(), stopped.Until, stopped.Reason
		out.NextProbe = st.throttle.NextProbe(now)
	}
	return out
}

// ReleaseHold ends the hold of the account, because an operator has done what
// the provider's refusal asks for. New credentials or another endpoint do so by
// themselves.
func (r *Relay) ReleaseHold(id string) {
	r.change(id, func(s *shard, st *accountState) {
		if st.throttle.Held() {
			s.absolve(st)
		}
		st.backoff = backoff{}
	})
}

// change has f change the throttle of the account and of the mailboxes of a
// catch-all account.
func (r *Relay) change(id string, f func(*shard, *accountState)) {
	for _, s := range r.shards {
		s.do(func(now time.Time) {
			for _, st := range s.accounts {
				if st.throttle != nil && st.belongsTo(id) {
					f(s, st)
					s.dispatch(st, now)
				}
			}
		})
	}
}
