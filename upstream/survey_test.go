package upstream

import (
	"fmt"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
)

// TestSurveyInSteps asks a shard with 1,000 accounts for all of them: what comes to the
// shard meanwhile is handled after the first few, and none is left out or told twice.
func TestSurveyInSteps(t *testing.T) {
	const all = 1000
	f := newFixture(t, nil)
	sh := f.relay.shards[0]
	sh.do(func(time.Time) {
		for i := range all {
			a := *f.accounts[0]
			a.ID = fmt.Sprintf("survey%d", i)
			a.Email = a.ID + "@example.com"
			sh.state(&a)
		}
	})
	looked, between := 0, 0
	parts, err := survey(f.relay, func(st *accountState, _ time.Time) (string, bool) {
		if looked++; looked == 1 {
			sh.enqueue(event{call: func(time.Time) { between = looked }})
		}
		return st.id, true
	})
	if err != nil || len(parts) != all || looked != all {
		t.Errorf("%d accounts of %d, looked at %d times: %v", len(parts), all, looked, err)
	}
	if between == 0 || between > retainStep {
		t.Errorf("what came meanwhile was handled after %d accounts, want %d at most", between, retainStep)
	}
}

// TestActivities has a catch-all account and one with limits: the first has what all its
// mailboxes have, the other what it has used.
func TestActivities(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.CountByAccount = true })
	base := &account.Account{ID: "app", Email: "*@example.com", Flow: account.FlowClientCredentials}
	snapshot := snapshotOf(t, base)
	sh := f.relay.shards[0]
	limited := *f.accounts[0]
	limited.ID, limited.Limits.MessagesPerHour = "limited", 9
	sh.do(func(time.Time) {
		for _, name := range []string{"a", "b"} {
			a, _ := snapshot.ByLogin([]byte(name + "@example.com"))
			sh.state(a).count[connParked]++
		}
		st := sh.state(&limited)
		st.meter.Take(&st.account.Limits, 1)
	})
	found, err := f.relay.Activities()
	sh.do(func(time.Time) {
		for _, st := range sh.accounts {
			st.count[connParked] = 0
		}
	})
	if err != nil || found["app"].Parked != 2 || len(found["app"].Uses) != 0 {
		t.Errorf("the catch-all account has %+v, %v", found["app"], err)
	}
	used := 0
	for _, u := range found["limited"].Uses {
		if u.Limit == "messages an hour" && u.Max == 9 {
			used = u.Used
		}
	}
	if used != 1 {
		t.Errorf("the other has %+v", found["limited"])
	}
}
