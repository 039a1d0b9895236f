package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// state reads what the admin API knows about an account.
func (s *stack) state(email string) (st admin.State) {
	s.T.Helper()
	status, text := s.Call(http.MethodGet, "/admin/accounts/"+email, "")
	if err := json.Unmarshal([]byte(text), &st); err != nil || status != http.StatusOK {
		s.T.Fatalf("%d %s: %v", status, text, err)
	}
	return st
}

// TestAdminAPIStateOfUse has what the API tells of an account that sends.
func TestAdminAPIStateOfUse(t *testing.T) {
	const email = "user@outlook.com"
	s := newStack(t, email)
	c, err := s.Client(email)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if err := apptest.Send(c, "hello"); err != nil {
			t.Fatal(err)
		}
	}
	st := s.state(email)
	used := make(map[string]admin.Limit)
	for _, l := range st.Limits {
		used[l.Name] = l
	}
	if l := used["messages a minute"]; l.Used != 2 || l.Max != 30 {
		t.Errorf("messages a minute: %+v in %+v", l, st.Limits)
	}
	if l := used["recipients a day"]; l.Used != 2 || l.Max == 0 {
		t.Errorf("recipients a day: %+v in %+v", l, st.Limits)
	}
	tok := st.Token
	if !tok.Valid || tok.IssuedAt == nil || tok.ExpiresAt == nil || tok.NextRefresh == nil || tok.RotatedAt == nil {
		t.Fatalf("token %+v", tok)
	}
	if age := time.Duration(tok.AgeSeconds) * time.Second; age < 0 || age > apptest.Patience || !tok.NextRefresh.Before(*tok.ExpiresAt) {
		t.Errorf("token %+v", tok)
	}
	if st.Connections.Parked != 1 || st.Connections.Limit != 3 || st.Restraint != nil || st.LastError != nil || st.Flow != "refresh_token" {
		t.Errorf("%+v", st)
	}
}

// TestAdminAPIReleasesWhatIsHeld has a provider refuse an account for good: it
// is held, the API says so and why, and an operator's resume lets it go on.
func TestAdminAPIReleasesWhatIsHeld(t *testing.T) {
	const email, refusal = "user@outlook.com", "550 5.1.8 Access denied, bad outbound sender"
	s := newStack(t, email)
	if err := s.Provider.SetFaults(sandbox.Rule{Account: email, Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: refusal, Times: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := s.Client(email)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := apptest.Send(c, "refused"); err == nil {
		t.Fatal("accepted")
	}
	s.WaitLog(1, "account held until an operator acts")
	if err := apptest.Send(c, "held"); err == nil || !strings.Contains(err.Error(), "held until an operator acts") {
		t.Errorf("the next message is told %v", err)
	}
	r := s.state(email).Restraint
	if r == nil || r.State != "held" || r.Reason == "" || r.NextProbe == nil {
		t.Fatalf("restraint %+v", r)
	}
	if left := time.Until(*r.NextProbe); left < time.Hour-apptest.Patience || left > time.Hour {
		t.Errorf("the next probe is due in %v, want an hour", left)
	}
	s.Want(200, []string{`"state":"active"`}, "POST", "/admin/accounts/"+email+"/resume", "")
	if err := apptest.Send(c, "released"); err != nil {
		t.Errorf("after its release: %v", err)
	}
	if r := s.state(email).Restraint; r != nil {
		t.Errorf("restraint %+v", r)
	}
}
