package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// listed returns the accounts that the admin API lists for a query, by email.
func (s *stack) listed(query string) (found map[string]admin.Listed, states map[string]int) {
	s.T.Helper()
	status, text := s.Call(http.MethodGet, "/admin/accounts"+query, "")
	var answer struct {
		Total    int `json:"total_accounts"`
		Accounts []admin.Listed
		States   map[string]int
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK {
		s.T.Fatalf("%d %s: %v", status, text, err)
	}
	found = make(map[string]admin.Listed)
	for _, a := range answer.Accounts {
		found[a.Email] = a
	}
	return found, answer.States
}

// TestOneStateForEachAccount has accounts to which all kinds of things happen. The list
// and the page of each account give the same state, in one vocabulary; filters find them.
func TestOneStateForEachAccount(t *testing.T) {
	faults := map[string]sandbox.Rule{
		"held@outlook.com":      {Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "550 5.1.8 Access denied, bad outbound sender", Times: 1},
		"quota@gmail.com":       {Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "550 5.4.5 Daily user sending limit exceeded.", Times: 1},
		"throttled@outlook.com": {Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "451 4.7.500 Server busy. Please try again later", Times: 1},
		"refused@outlook.com":   {Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."},
		"failing@gmail.com":     {Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "454 4.7.0 Temporary authentication failure"},
	}
	want := map[string]string{"active@gmail.com": "active", "unused@gmail.com": "active", "paused@gmail.com": "paused", "draining@outlook.com": "draining", "consent@gmail.com": "refused"}
	var emails []string
	for email := range faults {
		want[email], _, _ = strings.Cut(email, "@")
	}
	for email := range want {
		emails = append(emails, email)
	}
	s := newStack(t, emails...)
	var rules []sandbox.Rule
	for email, rule := range faults {
		rule.Account = email
		rules = append(rules, rule)
	}
	if err := s.Provider.SetFaults(rules...); err != nil {
		t.Fatal(err)
	}
	s.Provider.RevokeGrant("consent@gmail.com")
	for email := range want {
		if email == "unused@gmail.com" {
			continue
		}
		c, err := s.Client(email)
		if err != nil {
			continue // it is refused at the login
		}
		_ = apptest.Send(c, "something happens")
		_ = c.Close()
	}
	s.Want(200, nil, "POST", "/admin/accounts/paused@gmail.com/pause", "")
	s.Want(200, nil, "POST", "/admin/accounts/draining@outlook.com/drain", "")
	all, states := s.listed("")
	count := make(map[string]int)
	for email, state := range want {
		count[state]++
		got := all[email]
		if got.State != state || (got.Detail == "") != (state == "active") || strings.Contains(got.Detail, "\n") {
			t.Errorf("%s: %+v, want %s", email, got.Status, state)
		}
		if one := s.state(email); one.State != state {
			t.Errorf("%s: by itself %+v, want %s", email, one.Status, state)
		} else if orders := state == "paused" || state == "draining"; one.Hold.State != "active" && !orders {
			t.Errorf("%s: hold.state is %q without an operator's order", email, one.Hold.State)
		}
	}
	for state, n := range count {
		if states[state] != n {
			t.Errorf("states %v, want %v", states, count)
		}
		found, _ := s.listed("?state=" + state)
		if len(found) != n {
			t.Errorf("in state %s are %v, want %d", state, found, n)
		}
	}
	_, text := s.Call(http.MethodGet, "/metrics", "")
	for state, n := range count {
		apptest.CheckParts(t, text, fmt.Sprintf("accounts{state=%q} %d\n", state, n), "# TYPE accounts gauge\n")
	}
	if broken, _ := s.listed("?state=broken"); len(broken) != len(faults)+1 {
		t.Errorf("broken are %v", broken)
	}
	if some, _ := s.listed("?state=held,paused&provider=gmail"); len(some) != 1 || some["paused@gmail.com"].State != "paused" {
		t.Errorf("held or paused at gmail are %v", some)
	}
}
