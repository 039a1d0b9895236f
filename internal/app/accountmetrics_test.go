package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// TestAccountMetrics has one account deliver, another refused, a third unused and paused:
// the page of the accounts tells so of each, under its id.
func TestAccountMetrics(t *testing.T) {
	provider, f := apptest.NewSandbox(t, "alice@gmail.com", "bob@outlook.com", "carol@gmail.com")
	apptest.WriteFile(t, f.Config, strings.Replace(apptest.ReadAll(t, f.Config), "{",
		`{"admin": {"account_metrics": true},`, 1))
	s := startStack(t, provider, f)
	ids := make(map[string]string)
	var listed struct {
		Accounts []struct{ AccountID, Email string }
	}
	text := strings.ReplaceAll(s.Want(http.StatusOK, nil, http.MethodGet, "/admin/accounts", ""), `"account_id"`, `"AccountID"`)
	if err := json.Unmarshal([]byte(text), &listed); err != nil {
		t.Fatal(err)
	}
	for _, a := range listed.Accounts {
		ids[a.Email] = a.AccountID
	}
	client := s.ClientAddrs()[0].String()
	since := time.Now().Unix()
	for range 2 {
		if err := apptest.Deliver(client, "alice@gmail.com", "x", "taken"); err != nil {
			t.Fatal(err)
		}
	}
	if err := provider.SetFaults(sandbox.Rule{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "550 5.1.1 no such user"}); err != nil {
		t.Fatal(err)
	}
	if err := apptest.Deliver(client, "bob@outlook.com", "x", "refused"); err == nil {
		t.Fatal("the message was not refused")
	}
	s.Want(http.StatusOK, nil, http.MethodPost, "/admin/accounts/carol@gmail.com/pause", "")

	families := parsePage(t, s.Want(http.StatusOK, nil, http.MethodGet, "/metrics/accounts", ""))
	value := func(name, email, more string) (float64, bool) {
		providerName := map[bool]string{true: "gmail", false: "outlook"}[strings.HasSuffix(email, "gmail.com")]
		v, ok := families[name].series[`{account="`+ids[email]+`",provider="`+providerName+`"`+more+`}`]
		return v, ok
	}
	for _, tt := range []struct {
		name, email, more string
		want              float64
	}{
		{"account_info", "alice@gmail.com", `,email="alice@gmail.com"`, 1},
		{"account_state", "alice@gmail.com", `,state="active"`, 1},
		{"account_state", "carol@gmail.com", `,state="paused"`, 1},
		{"account_messages_total", "alice@gmail.com", `,result="delivered"`, 2},
		{"account_messages_total", "alice@gmail.com", `,result="refused"`, 0},
		{"account_messages_total", "bob@outlook.com", `,result="refused"`, 1},
		{"account_messages_total", "carol@gmail.com", `,result="delivered"`, 0},
		{"account_recipients_total", "alice@gmail.com", `,result="delivered"`, 2},
		{"account_recipients_total", "bob@outlook.com", `,result="refused"`, 1},
		{"account_connections", "alice@gmail.com", `,state="parked"`, 1},
		{"account_queue_depth", "alice@gmail.com", ``, 0},
		{"account_limit", "alice@gmail.com", `,limit="messages_day"`, 2000},
		{"account_limit_used", "alice@gmail.com", `,limit="messages_day"`, 2},
		{"account_limit", "carol@gmail.com", `,limit="messages_day"`, 2000},
		{"account_limit_used", "carol@gmail.com", `,limit="messages_day"`, 0},
	} {
		if got, ok := value(tt.name, tt.email, tt.more); !ok || got != tt.want {
			t.Errorf("%s of %s, %s: %v, %t, want %v", tt.name, tt.email, tt.more, got, ok, tt.want)
		}
	}
	if at, _ := value("account_last_delivered_timestamp_seconds", "alice@gmail.com", ""); int64(at) < since {
		t.Errorf("alice delivered at %v, want %d or later", at, since)
	}
	if _, ok := value("account_last_delivered_timestamp_seconds", "bob@outlook.com", ""); ok {
		t.Error("bob has delivered")
	}
	if end, _ := value("account_token_expiry_timestamp_seconds", "bob@outlook.com", ""); int64(end) <= since {
		t.Errorf("the token of bob ends at %v", end)
	}
	if left := families["account_metrics_left_out"].series[""]; left != 0 {
		t.Errorf("%v accounts are left out", left)
	}
	if n := len(families["account_state"].series); n != 3 {
		t.Errorf("%d accounts have a state", n)
	}

	one := parsePage(t, s.Want(http.StatusOK, nil, http.MethodGet, "/metrics/accounts?offset=1&count=1", ""))
	if info := one["account_info"].series; len(info) != 1 || one["account_metrics_left_out"].series[""] != 2 {
		t.Errorf("the second page of one account has %v and leaves out %v", info, one["account_metrics_left_out"].series)
	}
	s.Want(http.StatusOK, []string{"account_metrics_left_out 3\n"}, http.MethodGet, "/metrics/accounts?offset=9", "")
	if page := s.Want(http.StatusOK, nil, http.MethodGet, "/metrics", ""); strings.Contains(page, "alice") || strings.Contains(page, ids["alice@gmail.com"]) {
		t.Error("/metrics names an account")
	}
}
