package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// has reports whether there is an account whose address begins so.
func (f *fakeAPI) has(prefix string) bool {
	return slices.ContainsFunc(f.Accounts(), func(a Account) bool { return strings.HasPrefix(a.Email, prefix) })
}

// stuck names a part of the process while there is an account of that name.
func (f *fakeAPI) stuck() []string {
	if f.has("stuck") {
		return []string{"shard 3 has been stuck for 7s"}
	}
	return nil
}

// hang does not return before the test ends, if the account is one that hangs.
func (f *fakeAPI) hang(email string) {
	if strings.HasPrefix(email, "hung") {
		<-f.ended
	}
}

func (f *fakeAPI) State(email string) (*State, error) {
	a, err := f.find(email)
	if err != nil {
		return nil, err
	}
	f.hang(email)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	st := &State{Status: Status{State: StateFailing, Detail: "for a test", Until: &at}, Account: a, Flow: "refresh_token", Hold: Hold{State: "active"}, Connections: Connections{Parked: 1, Limit: 3}, Limits: []Limit{}}
	if strings.HasPrefix(email, "slow") {
		st.Token = Token{Valid: true, IssuedAt: &at, AgeSeconds: 7, ExpiresAt: &at, NextRefresh: &at, RotatedAt: &at, Unsaved: true}
		st.LastError = &LastError{At: "token", Class: "unavailable", Message: "m", Hint: "h", HintID: "i", RetryAt: &at}
		st.Limits = []Limit{{Name: "messages a day", Used: 7, Max: 2000}}
		st.Restraint = &Restraint{State: "quota", Until: &at, Reason: "550 5.4.5", Connections: 1, NextProbe: &at}
	}
	return st, nil
}

func (f *fakeAPI) Order(email string, o Order) (*Hold, error) {
	if _, err := f.find(email); err != nil {
		return nil, err
	}
	if f.saveErr != nil {
		return nil, f.saveErr
	}
	f.hang(email)
	if o == Resume && strings.HasPrefix(email, "crossed") {
		return nil, fmt.Errorf("%w: the account is paused", ErrCrossed)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if strings.HasPrefix(email, "untold") {
		return &Hold{State: "paused", Since: &at, Untold: true}, nil
	}
	return map[Order]*Hold{Pause: {State: "paused", Since: &at}, Drain: {State: "draining", Since: &at}, Resume: {State: "active"}}[o], nil
}

// TestHungCalls asks for an account whose part of the process hangs, more often than
// calls may be under way: each request is answered, and so are those for others and
// the probes, which name what is stuck.
func TestHungCalls(t *testing.T) {
	f, url := newAPI(t, "", "hung@a.test", "stuck@a.test", "fine@a.test")
	var wg sync.WaitGroup
	for i := range maxCalls {
		wg.Go(func() {
			method, path := "GET", "/admin/accounts/hung@a.test"
			if i%2 == 1 {
				method, path = "POST", path+"/pause"
			}
			if resp, body := do(t, method, url+path, ""); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "does not answer") {
				t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, body)
			}
		})
		if i%32 == 31 { // the server has 64 connections
			wg.Wait()
		}
	}
	if resp, body := do(t, "GET", url+"/admin/accounts/fine@a.test", ""); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one call more than there may be: %d %s", resp.StatusCode, body)
	}
	const unhealthy = `{"status":"unhealthy","service":"xoauth2-proxy-admin","reasons":["shard 3 has been stuck for 7s"]}` + "\n"
	if resp, body := do(t, "GET", url+"/health", ""); resp.StatusCode != http.StatusServiceUnavailable || body != unhealthy {
		t.Errorf("/health: %d %s", resp.StatusCode, body)
	}
	f.mu.Lock()
	f.accounts = f.accounts[2:]
	f.mu.Unlock()
	if resp, body := do(t, "GET", url+"/health", ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"healthy"`) {
		t.Errorf("/health of a process that has recovered: %d %s", resp.StatusCode, body)
	}
}
