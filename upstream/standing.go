package upstream

import (
	"time"

	"xoauth2-proxy/upstream/internal/limit"
)

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
				out.Uses = append(out.Uses, Use{Limit: kind.String(), Used: used, Max: kind.Of(&st.account.Limits)})
			}
		}
	}
	if most := st.account.Limits.LoginsPerMinute; most > 0 {
		used := st.mailbox.count[connDialing] + st.logins.Sum(now)
		out.Uses = append(out.Uses, Use{Limit: limit.LoginsPerMinute.String(), Used: used, Max: most})
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
