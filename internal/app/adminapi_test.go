package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

func noneOpen(s sandbox.AccountStats) bool { return s.Open == 0 }

func TestAdminAPIAddsAndRemoves(t *testing.T) {
	s := newStack(t, "user@gmail.com")
	for _, e := range []string{"new@outlook.com", "more@gmail.com"} {
		if err := s.Provider.AddAccount(apptest.Account(e)); err != nil {
			t.Fatal(err)
		}
	}
	s.Want(200, []string{`"total_accounts":1`, `"email":"user@gmail.com"`}, "GET", "/admin/accounts", "")
	s.Want(200, []string{`"total_accounts":2`, `"dry_run":true`}, "POST", "/admin/accounts?dry_run=true", s.Request("new@outlook.com", ""))
	s.Want(200, []string{`"total_accounts":1`}, "GET", "/admin/accounts", "")
	s.Want(200, []string{`"total_accounts":2`, `"account_id":"outlook_new_outlook_com"`, `"vmta_name":"vmta-outlook-new"`},
		"POST", "/admin/accounts", s.Request("new@outlook.com", ""))
	if st := s.Provider.AccountStats("new@outlook.com"); st.Logins != 2 || st.TokensIssued == 0 {
		t.Errorf("it was not verified: %+v", st)
	}
	c, err := s.Client("new@outlook.com")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := apptest.Send(c, "hello"); err != nil {
		t.Error(err)
	}
	s.Want(409, []string{"already exists"}, "POST", "/admin/accounts", s.Request("NEW@outlook.com", ""))
	for _, wrong := range []string{`["nobody"]`, `[]`} {
		s.Want(400, []string{"senders"}, "POST", "/admin/accounts", s.Request("new@outlook.com", `, "overwrite": true, "verify": false, "senders": `+wrong))
	}
	s.Want(200, nil, "POST", "/admin/accounts", s.Request("new@outlook.com", `, "overwrite": true, "verify": false, "senders": ["self", "B@a.example"]`))
	s.Want(200, []string{`"senders":["b@a.example","self"]`}, "GET", "/admin/accounts", "")
	if err := apptest.Send(c, "hello"); err == nil || !strings.Contains(err.Error(), "5.7.1 The account's list of senders") {
		t.Errorf("a sender that is not on the list: %v", err)
	}
	s.Want(200, []string{`"total_accounts":2`}, "POST", "/admin/accounts", s.Request("new@outlook.com", `, "overwrite": true, "verify": false`))
	s.Want(400, []string{"verification failed", "refresh token refused"}, "POST", "/admin/accounts", s.Request("unknown@gmail.com", ""))
	s.Want(409, []string{"account_id"}, "POST", "/admin/accounts", s.Request("more@gmail.com", `, "account_id": "outlook_new_outlook_com"`))
	s.Want(400, []string{"provider", "neither gmail nor outlook"}, "POST", "/admin/accounts", strings.Replace(s.Request("x@gmail.com", ""), `"provider": "gmail"`, `"provider": "yahoo"`, 1))
	s.Want(206, []string{`"added_count":1`, `"failed_count":1`, `{"email":"unknown@outlook.com","error":"`}, "POST", "/admin/accounts/batch",
		"["+s.Request("unknown@outlook.com", "")+","+s.Request("more@gmail.com", "")+"]")
	s.Want(200, []string{`"total_accounts":2`}, "DELETE", "/admin/accounts/new@outlook.com", "")
	s.Want(404, nil, "DELETE", "/admin/accounts/new@outlook.com", "")
	if err := c.Mail("from@example.com"); err == nil {
		t.Error("a session of a removed account goes on")
	}
	s.Want(400, nil, "DELETE", "/admin/accounts", "")
	s.Want(200, []string{`"total_accounts":0`}, "DELETE", "/admin/accounts?confirm=true", "")
	s.Want(503, []string{"there are no accounts"}, "GET", "/ready", "")
}

// TestAdminAPIMeansEmails has an account whose account_id is the email of another
// account: changes of the other do not affect it.
func TestAdminAPIMeansEmails(t *testing.T) {
	const one, other = "one@outlook.com", "other@gmail.com"
	s := newStack(t)
	for _, e := range []string{one, other} {
		if err := s.Provider.AddAccount(apptest.Account(e)); err != nil {
			t.Fatal(err)
		}
	}
	s.Want(200, []string{`"total_accounts":1`}, "POST", "/admin/accounts", s.Request(one, `, "account_id": "`+other+`"`))
	s.Want(404, nil, "DELETE", "/admin/accounts/"+other, "")
	both := []string{`"account_id":"` + other + `","email":"` + one + `"`, `"account_id":"gmail_other_gmail_com","email":"` + other + `"`}
	for _, more := range []string{"", `, "overwrite": true`} {
		s.Want(200, []string{`"total_accounts":2`}, "POST", "/admin/accounts", s.Request(other, more))
		s.Want(200, both, "GET", "/admin/accounts", "")
	}
	// Another account has its default account_id, but it has one of its own.
	s.Want(200, []string{`"total_accounts":2`}, "POST", "/admin/accounts", s.Request(other, `, "overwrite": true, "account_id": "its-own"`))
	s.Want(200, nil, "POST", "/admin/accounts", s.Request(one, `, "overwrite": true, "account_id": "gmail_other_gmail_com"`))
	s.Want(200, []string{`"account_id":"its-own"`}, "POST", "/admin/accounts", s.Request(other, `, "overwrite": true`))
	s.Want(409, []string{"account_id"}, "POST", "/admin/accounts", s.Request(one, `, "overwrite": true, "account_id": "its-own"`))
	s.Want(200, []string{`"total_accounts":1`}, "DELETE", "/admin/accounts/"+other, "")
	s.Want(200, []string{`"email":"` + one + `"`}, "GET", "/admin/accounts", "")
}

// TestAdminAPIVerifiesWhatTheFileAdds overwrites an account whose endpoints only the
// file gives, and an account that logs in, by the file, as a user that the provider
// does not know.
func TestAdminAPIVerifiesWhatTheFileAdds(t *testing.T) {
	const found, lost = "found@gmail.com", "lost@gmail.com"
	s := newStack(t, found, lost)
	text, err := os.ReadFile(s.Files.Accounts)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(text), `"`+lost+`"`)
	if !ok {
		t.Fatalf("%s has no %s", text, lost)
	}
	apptest.WriteFile(t, s.Files.Accounts, before+`"`+lost+`", "auth_identity": "nobody@gmail.com"`+after)
	s.Want(200, nil, "POST", "/admin/reload", "")
	short := func(email string) string {
		return strings.Split(s.Request(email, ""), `, "oauth_token_url"`)[0] + `, "overwrite": true}`
	}
	s.Want(200, []string{`"total_accounts":2`}, "POST", "/admin/accounts", short(found))
	if st := s.Provider.AccountStats(found); st.Logins != 1 {
		t.Errorf("%s was verified by %d logins", found, st.Logins)
	}
	s.Want(400, []string{"verification failed"}, "POST", "/admin/accounts", short(lost))
	s.Want(206, []string{`"added_count":1`, `"failed_accounts":[{"email":"` + lost + `"`}, "POST", "/admin/accounts/batch",
		"["+short(lost)+","+short(found)+"]")
}

// TestAdminAPIRehearses has a file of accounts that no new one can be put in the
// place of. The provider is asked nothing: it might replace a refresh token.
func TestAdminAPIRehearses(t *testing.T) {
	const email = "new@outlook.com"
	provider, f := apptest.NewSandbox(t, "user@gmail.com")
	if err := provider.AddAccount(apptest.Account(email)); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(filepath.Dir(f.Accounts), strings.Repeat("n", 255)) // none longer can stand beside it
	if err := os.Rename(f.Accounts, long); err != nil {
		t.Fatal(err)
	}
	f.Accounts = long
	s := startStack(t, provider, f)
	s.Want(500, []string{"file name too long"}, "POST", "/admin/accounts", s.Request(email, ""))
	s.Want(500, []string{"file name too long"}, "POST", "/admin/accounts?dry_run=true", s.Request(email, ""))
	s.Want(500, []string{"file name too long"}, "POST", "/admin/accounts/batch", "["+s.Request(email, "")+"]")
	if st := provider.AccountStats(email); st.TokensIssued != 0 || st.Logins != 0 {
		t.Errorf("the provider was asked: %+v", st)
	}
	s.Want(200, []string{`"total_accounts":1`}, "GET", "/admin/accounts", "")
}

// TestAdminAPIDeletesOnlyTheDead has one account without a grant, one whose
// token endpoint fails, one whose mailbox refuses logins, one whose user is
// disabled for now, one with a client that is refused, and one that works.
func TestAdminAPIDeletesOnlyTheDead(t *testing.T) {
	s := newStack(t, "dead@gmail.com", "down@gmail.com", "refused@outlook.com", "disabled@outlook.com", "client@gmail.com", "good@outlook.com")
	s.Provider.RevokeGrant("dead@gmail.com")
	if err := s.Provider.SetFaults(
		sandbox.Rule{Account: "down@gmail.com", Phase: sandbox.PhaseToken, Action: sandbox.ActionReply, Status: 503},
		sandbox.Rule{Account: "refused@outlook.com", Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply,
			Reply: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."},
		sandbox.Rule{Account: "disabled@outlook.com", Phase: sandbox.PhaseToken, Action: sandbox.ActionReply, Status: 400,
			Body: `{"error": "invalid_grant", "error_description": "AADSTS50057: The user account is disabled."}`},
		sandbox.Rule{Account: "client@gmail.com", Phase: sandbox.PhaseToken, Action: sandbox.ActionReply, Error: "invalid_client"},
	); err != nil {
		t.Fatal(err)
	}
	parts := []string{`"deleted_count":1`, `"deleted_accounts":["dead@gmail.com"]`, `"email":"down@gmail.com"`, `Set-TransportConfig`,
		`"email":"disabled@outlook.com"`, `the user is disabled`, `"email":"client@gmail.com"`}
	s.Want(200, append(parts, `"dry_run":true`), "DELETE", "/admin/accounts/invalid?dry_run=true", "")
	if n := s.live.store.Load().Len(); n != 6 {
		t.Errorf("a dry run leaves %d accounts", n)
	}
	s.Want(200, append(parts, `"total_accounts":5`), "DELETE", "/admin/accounts/invalid", "")
	s.Want(404, []string{"kept_accounts"}, "DELETE", "/admin/accounts/invalid", "")
}

func TestAdminAPIStateAndOrders(t *testing.T) {
	s := newStack(t, "user@outlook.com", "dead@gmail.com")
	c, err := s.Client("user@outlook.com")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := apptest.Send(c, "hello"); err != nil {
		t.Fatal(err)
	}
	text := s.Want(200, []string{`"hold":{"state":"active"}`, `"parked":1`, `"limit":3`, `"valid":true`}, "GET", "/admin/accounts/USER@outlook.com", "")
	var st struct {
		Token struct {
			Issued  string `json:"issued_at"`
			Expires string `json:"expires_at"`
			Next    string `json:"next_refresh_at"`
		}
	}
	if err := json.Unmarshal([]byte(text), &st); err != nil || st.Token.Issued == "" || st.Token.Expires <= st.Token.Issued || st.Token.Next >= st.Token.Expires {
		t.Errorf("token %+v, %v", st.Token, err)
	}
	s.Provider.RevokeGrant("dead@gmail.com")
	if _, err := s.Client("dead@gmail.com"); err == nil {
		t.Error("an account without a grant logs in")
	}
	s.Want(200, []string{`"last_error":{"at":"token","class":"invalid_grant"`, `"permanent":true`, `"hint":"`}, "GET", "/admin/accounts/dead@gmail.com", "")
	s.Want(404, nil, "GET", "/admin/accounts/nobody@gmail.com", "")

	s.Want(200, []string{`"state":"paused"`, `"since":"`}, "POST", "/admin/accounts/user@outlook.com/pause", "")
	if why, held := s.orders.Held("outlook_user_outlook_com"); !held || !strings.Contains(why, "paused") {
		t.Errorf("%q, %t", why, held)
	}
	if err := apptest.Send(c, "held"); err == nil || !strings.Contains(err.Error(), "4.7.0 The account is paused") {
		t.Errorf("a session of a paused account is told %v", err)
	}
	if _, err := s.Client("user@outlook.com"); err == nil || !strings.Contains(err.Error(), "4.7.0 The account is paused") {
		t.Errorf("a login to a paused account is told %v", err)
	}
	s.Want(200, []string{`"state":"draining"`}, "POST", "/admin/accounts/user@outlook.com/drain", "")
	ctx, cancel := apptest.Timeout(t)
	defer cancel()
	if err := s.Provider.WaitAccount(ctx, "user@outlook.com", noneOpen); err != nil {
		t.Error(err)
	}
	s.Want(200, []string{`"hold":{"state":"draining"`}, "GET", "/admin/accounts/user@outlook.com", "")
	s.Want(200, []string{`"state":"active"`}, "POST", "/admin/accounts/user@outlook.com/resume", "")
	if _, held := s.orders.Held("outlook_user_outlook_com"); held {
		t.Error("a resumed account is held")
	}
	if err := apptest.Send(c, "resumed"); err != nil {
		t.Error(err)
	}
}

// TestResumeReleasesARefusal has a provider refuse an account and the client of
// others, until an administrator of the provider corrects it. The files do not change,
// so an operator has to resume the accounts.
func TestResumeReleasesARefusal(t *testing.T) {
	const disabled, asked, other = "disabled@outlook.com", "asked@gmail.com", "other@gmail.com"
	s := newStack(t, disabled, asked, other)
	refuse := func(email, code, text string) sandbox.Rule {
		return sandbox.Rule{Account: email, Phase: sandbox.PhaseToken, Action: sandbox.ActionReply, Status: 400,
			Body: `{"error": "` + code + `", "error_description": "` + text + `"}`}
	}
	if err := s.Provider.SetFaults(refuse(disabled, "invalid_grant", "AADSTS50057: The user account is disabled."),
		refuse(asked, "invalid_client", "The OAuth client was deleted.")); err != nil {
		t.Fatal(err)
	}
	why := map[string]string{disabled: "the user is disabled", asked: "OAuth2 client refused", other: "OAuth2 client refused"}
	for _, email := range []string{disabled, asked, other} {
		if _, err := s.Client(email); err == nil || !strings.Contains(err.Error(), why[email]) {
			t.Errorf("%s: %v", email, err)
		}
		s.Want(200, []string{`"last_error":{"at":"token"`, why[email], `"permanent":true`}, "GET", "/admin/accounts/"+email, "")
	}
	if err := s.Provider.SetFaults(); err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{disabled, asked, other} {
		if email != other { // which the release of the client is for as well
			if _, err := s.Client(email); err == nil {
				t.Errorf("%s is asked for again by itself", email)
			}
			s.Want(200, []string{"takes mail"}, "POST", "/admin/accounts/"+email+"/resume", "")
		}
		c, err := s.Client(email)
		if err != nil {
			t.Errorf("%s, resumed: %v", email, err)
			continue
		}
		if err := apptest.Send(c, "resumed"); err != nil {
			t.Error(err)
		}
		_ = c.Close()
		if text := s.Want(200, nil, "GET", "/admin/accounts/"+email, ""); strings.Contains(text, "last_error") {
			t.Errorf("an account that works has %s", text)
		}
	}
}

func TestAdminAPIReloadAndLevel(t *testing.T) {
	s := newStack(t, "user@gmail.com")
	s.Want(200, []string{`"total_accounts":1`, `"restart_needed":[]`, `"log_level":"debug"`}, "POST", "/admin/reload", "")
	s.Want(200, []string{`"level":"error"`}, "PUT", "/admin/log/level", `{"level": "error"}`)
	s.Want(200, []string{`"level":"error"`}, "GET", "/admin/log/level", "")
	s.Want(400, nil, "PUT", "/admin/log/level", `{"level": "fatal"}`)
	s.Want(200, []string{`"log_level":"error"`}, "POST", "/admin/reload", "") // the file says what it said
	apptest.WriteFile(t, s.Files.Accounts, `[{"email": "x@gmail.com", "refresh_token": "canary"}]`)
	s.Want(422, []string{"accounts[0].provider: is needed", "accounts[0].client_id: is needed"}, "POST", "/admin/reload", "")
	s.Want(200, []string{`"email":"user@gmail.com"`}, "GET", "/admin/accounts", "")
	s.Want(404, nil, "DELETE", "/admin/accounts/user@gmail.com", "") // not in the file any more
	apptest.WriteFile(t, s.Files.Accounts, `[{"refresh_token": "canary]`)
	s.Want(500, []string{"not valid JSON"}, "DELETE", "/admin/accounts/user@gmail.com", "")
}
