package upstream

import (
	"maps"
	"slices"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/limit"
)

// retainStep is how many accounts of a shard Retain looks at in one go: the
// shard's events may be handled on an event loop.
const retainStep = 64

// Retain makes s the accounts that there are: the parked connections of others,
// and of those whose endpoint or credentials changed, are closed at once, and the busy
// ones after their transaction. What waits of such an account is still delivered: from
// its new mailbox if it has another one, else as it was submitted. Call it when s has been
// published. It does not wait, and a shard does other work while it looks through many accounts.
func (r *Relay) Retain(s *account.Snapshot) {
	r.retained.Store(s)
	r.desk.ByAccount.Keep(s)
	for _, sh := range r.shards {
		sh.do(func(now time.Time) {
			sh.retain(s, slices.Collect(maps.Values(sh.accounts)), now)
		})
	}
}

// retain does what Retain says for the first of some accounts, and has the others
// come later. It does nothing if there are newer accounts, whose turn comes.
func (s *shard) retain(snapshot *account.Snapshot, all []*accountState, now time.Time) {
	if s.relay.retained.Load() != snapshot {
		return
	}
	n := min(retainStep, len(all))
	for _, st := range all[:n] {
		if s.accounts[st.key] != st { // forgotten meanwhile
			continue
		}
		a, ok := snapshot.ByID(st.id)
		if ok && a.MailboxKey() != st.key.mailbox {
			ok = false
			s.leaveFor(st, a, snapshot.Has, now)
		}
		if st.gone = !ok; ok {
			st.left = false
		}
		if ok && a != st.account {
			s.adopt(st, a)
		}
		if st.gone {
			s.retireParked(st)
		}
	}
	if n < len(all) { // by another goroutine: what is in the inbox now comes first
		go s.do(func(now time.Time) { s.retain(snapshot, all[n:], now) })
	}
}

// leaveFor has the mailbox that the account of st sends from now on count what this one has
// counted, as if it had always been that one, unless another account has the login now. If
// others send from this one, its counts stay as well. What waits goes there too.
func (s *shard) leaveFor(st *accountState, to *account.Account, has func(email string) bool, now time.Time) {
	if !st.left && st.meter != nil && (to.Email == st.account.Email || !has(st.account.Email)) {
		counts := limit.NewMeter(now)
		counts.Merge(st.meter, now)
		if len(st.members) == 1 {
			st.meter.Clear()
			st.mailbox.moved = true
			s.save(st)
		}
		target := s.relay.shardOf(to)
		s.post(target, event{Event: carry.Event{Now: now}, call: func(now time.Time) {
			next := target.state(to)
			target.count(next)
			next.meter.Merge(counts, now)
			counts.Hours(true, next.lease.Restore)
			next.mailbox.moved = true
			target.save(next)
		}})
	}
	st.left = true
	s.note(st.mailbox)
	for _, q := range []*carry.Queue{&st.fresh, &st.waiting} {
		q.Keep(func(_ int, tx *Transaction) bool { return !s.follow(st, tx, now) })
	}
	s.unused(st, now)
}

// follow has tx wait for what a reload has made of its account, if that has left the mailbox
// of st and is of the same client. Else tx is sent as it was submitted.
func (s *shard) follow(st *accountState, tx *Transaction, now time.Time) bool {
	if !st.left || s.closing {
		return false
	}
	to, ok := s.relay.retained.Load().ByID(st.id)
	if !ok || to.Email != tx.Account.Email || to.MailboxKey() == st.key.mailbox {
		return false
	}
	if tx.Place.Probe {
		s.probed(st, nil, false, now)
	}
	target := s.relay.shardOf(to)
	tx.MoveTo(target, to, now)
	s.post(target, event{Event: carry.Event{Kind: carry.Submit, Tx: tx, Now: now}})
	return true
}

// post gives an event to a shard, which handles it on another goroutine than this one.
func (s *shard) post(target *shard, e event) {
	if target.enqueue(e) {
		s.relay.dials.Go(func() { target.Drive(nil) })
	}
}

// Drain closes the parked connections of the account with that id. Those of the
// mailboxes of a catch-all account are its own. It does not wait.
func (r *Relay) Drain(id string) {
	for _, sh := range r.shards {
		sh.do(func(time.Time) {
			for _, st := range sh.accounts {
				if st.belongsTo(id) {
					sh.retireParked(st)
				}
			}
		})
	}
}

// State returns what there is of the account with that id, the mailboxes of a
// catch-all account included. The error is ErrStuck if a shard does not answer.
func (r *Relay) State(id string) (total AccountState, err error) {
	parts, err := survey(r, func(st *accountState, _ time.Time) (part AccountState, ok bool) {
		return st.state(), st.belongsTo(id)
	})
	for _, part := range each(parts) {
		total.Merge(part)
	}
	return total, err
}

// belongsTo reports whether st is of the account with that id or of a mailbox
// of it.
func (st *accountState) belongsTo(id string) bool {
	return st.id == id || st.configured() == id
}

func (st *accountState) state() AccountState {
	is := AccountState{
		Dialing: st.count[connDialing], Busy: st.count[connBusy], Parked: st.count[connParked], Closing: st.count[connClosing],
		Open: st.open(), Waiting: st.waiting.Len() + st.fresh.Len(), Failures: st.backoff.Failures(),
	}
	if is.Failures > 0 {
		is.RetryAt, is.LastError = st.backoff.Until(), st.backoff.Cause()
	}
	return is
}

// wants reports whether c is of use: to the transaction that waits longest, also
// to one that was submitted before its account changed or went, or else to
// those that come. A new connection is always of use to the transaction that it
// was opened for, or there would be no end of opening them.
func (st *accountState) wants(c *carry.Conn, q *carry.Queue) bool {
	if q.Head() != nil {
		return c.Suits(q.Head().Account)
	}
	return !st.gone && c.Suits(st.account)
}

// askPatience is how long a question to a shard waits for its answer.
const askPatience = 2 * time.Second

// do has f run where the state of the shard may be looked at and changed. It waits
// for that if no goroutine handles events, for askPatience at most.
func (s *shard) do(f func(now time.Time)) {
	if !s.enqueue(event{call: f, Event: carry.Event{Now: time.Now()}}) {
		return
	}
	driven := make(chan struct{})
	go func() { // or the caller would hang where the shard does
		defer close(driven)
		s.Drive(nil)
	}()
	patience := time.NewTimer(askPatience)
	defer patience.Stop()
	select {
	case <-driven:
	case <-patience.C:
	}
}

// ask returns what f finds in the shard, or ErrStuck if that does not answer in
// askPatience.
func ask[T any](s *shard, f func(now time.Time) T) (found T, err error) {
	if s.part.Stuck() { // questions to it would only pile up
		return found, ErrStuck
	}
	answer := make(chan T, 1)
	patience := time.NewTimer(askPatience)
	defer patience.Stop()
	s.do(func(now time.Time) { answer <- f(now) })
	select {
	case found = <-answer:
		return found, nil
	case <-patience.C:
		return found, ErrStuck
	}
}

// survey looks at all accounts, and returns what look returns true for by the id of the
// account, for mailboxes of a catch-all account its. A shard does other work while it is
// asked for many accounts.
func survey[T any](r *Relay, look func(*accountState, time.Time) (T, bool)) (found map[string][]T, err error) {
	found = make(map[string][]T)
	for _, sh := range r.shards {
		all, stuck := ask(sh, func(time.Time) []*accountState { return slices.Collect(maps.Values(sh.accounts)) })
		for step := range slices.Chunk(all, retainStep) {
			var part map[string][]T
			part, stuck = ask(sh, func(now time.Time) map[string][]T {
				part := make(map[string][]T)
				for _, st := range step {
					if v, ok := look(st, now); ok && sh.accounts[st.key] == st { // not forgotten meanwhile
						part[st.configured()] = append(part[st.configured()], v)
					}
				}
				return part
			})
			if stuck != nil {
				break
			}
			for id, values := range part {
				found[id] = append(found[id], values...)
			}
		}
		if stuck != nil {
			err = stuck
		}
	}
	return found, err
}

// each returns the values of a survey.
func each[T any](parts map[string][]T) []T {
	return slices.Concat(slices.Collect(maps.Values(parts))...)
}

// configured is the id of the account in the configuration: of a mailbox of a catch-all
// account, that one's.
func (st *accountState) configured() string {
	if base := st.account.Base(); base != nil {
		return base.ID
	}
	return st.id
}
