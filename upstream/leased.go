package upstream

import (
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/lease"
)

// hire has the mailbox share what it may use with other processes, if there are some.
func (s *shard) hire(m *mailbox) {
	if s.closing {
		return
	}
	m.lease = lease.Join(s.relay.cfg.Share, m.key, func() {
		if !m.changed.Swap(true) {
			s.tell(func(now time.Time) { s.onLease(m, now) })
		}
	})
	m.logins.Share(m.lease)
}

// onLease obeys what the lease of a mailbox allows now.
func (s *shard) onLease(m *mailbox, now time.Time) {
	m.changed.Store(false)
	if s.closing || m.lease == nil {
		return
	}
	s.shed(m)
	m.cut()
	if err := m.outage(); err != nil {
		for _, st := range m.members {
			s.failAll(st, err, now)
			s.unused(st, now)
		}
		return
	}
	s.freed(m.members[0], now)
	for _, st := range m.members {
		if w := st.warming; w.n > 0 {
			st.warming = warming{}
			s.warm(st.account, w.n, w.on, now)
		}
	}
}

// shareTenants has the tenants share their limits with other processes, if there are some.
func (r *Relay) shareTenants() {
	if r.cfg.Share == nil {
		return
	}
	r.desk.Tenants.Share(r.cfg.Share, func() {
		for _, s := range r.shards {
			s.tell(s.onSeats)
		}
	})
}

// onSeats has accounts go on of which a message waits for its tenant.
func (s *shard) onSeats(now time.Time) {
	waiting := s.seatless
	s.seatless = nil
	for _, st := range waiting {
		st.seatless = false
		s.dispatch(st, now)
	}
}

// Expect has other processes leave the account what a message needs, while its client is
// still about to send one. It is called on the loop on and does not wait.
func (r *Relay) Expect(a *account.Account, on *loop.Loop) {
	if r.cfg.Share == nil || a.IsCatchAll() {
		return
	}
	s := r.shardOf(a)
	s.call(func(now time.Time) {
		if st := s.state(a); st.mailbox.connections == 0 {
			s.expect(st, now)
		}
	}, on)
}

// expect has the lease ask for what one message needs, for as long as a client usually waits
// with it.
func (s *shard) expect(st *accountState, now time.Time) {
	if st.lease != nil && !s.closing {
		st.expects = now.Add(defaultAcquireTimeout)
		s.note(st.mailbox)
		s.touch(st, st.expects)
	}
}
