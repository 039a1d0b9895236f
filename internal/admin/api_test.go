package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/forecast"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/roster"
	"xoauth2-proxy/internal/testkit"
)

const testToken = "0123456789abcdef-token"

// fakeAPI keeps accounts in memory. Local parts decide what fails.
type fakeAPI struct {
	mu       sync.Mutex
	accounts []Account
	level    string
	saveErr  error
	saved    []*NewAccount
	verified int
	ended    chan struct{} // with the test
}

func (f *fakeAPI) Accounts() []Account {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.accounts)
}

// Listed has the local part as the state, if it is one.
func (f *fakeAPI) Listed() (out []Listed) {
	for _, a := range f.Accounts() {
		l := Listed{a, Status{State: StateActive}}
		if local, _, _ := strings.Cut(a.Email, "@"); slices.Contains(States, local) && local != StateActive {
			at := time.Unix(1_800_000_000, 0).UTC()
			l.Status = Status{State: local, Detail: "for a test", Until: &at}
		}
		out = append(out, l)
	}
	return out
}

func (f *fakeAPI) Check(n *NewAccount) error {
	if n.Provider != "gmail" && n.Provider != "outlook" {
		return errors.New("provider: is none")
	}
	if n.Provider == "gmail" && n.ClientSecret == "" {
		return errors.New("client_secret: is needed")
	}
	return nil
}

func (f *fakeAPI) Verify(ctx context.Context, n *NewAccount) error {
	f.mu.Lock()
	f.verified++
	f.mu.Unlock()
	if strings.HasPrefix(n.Email, "bad") {
		return errors.New("refresh token refused")
	}
	return ctx.Err()
}

func (f *fakeAPI) Save(list []*NewAccount, dryRun bool) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saveErr != nil {
		return 0, f.saveErr
	}
	if dryRun {
		return len(f.accounts) + len(list), nil
	}
	for _, n := range list {
		f.accounts = slices.DeleteFunc(f.accounts, func(a Account) bool { return a.Email == n.Email })
		f.accounts = append(f.accounts, Account{AccountID: n.Provider + "_x", Email: n.Email, Provider: n.Provider,
			VMTAName: "v", OAuthEndpoint: "h:587", OAuthTokenURL: "https://t", Senders: n.Senders})
		f.saved = append(f.saved, n)
	}
	return len(f.accounts), nil
}

func (f *fakeAPI) Remove(emails []string, all, dryRun bool) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saveErr != nil {
		return 0, f.saveErr
	}
	left := slices.Clone(f.accounts)
	for _, e := range emails {
		n := len(left)
		left = slices.DeleteFunc(left, func(a Account) bool { return a.Email == e })
		if len(left) == n {
			return 0, ErrNotFound
		}
	}
	if all {
		left = nil
	}
	if !dryRun {
		f.accounts = left
	}
	return len(left), nil
}

func (f *fakeAPI) VerifyAll(context.Context) (out []Verdict, err error) {
	f.mu.Lock()
	f.verified++
	f.mu.Unlock()
	for _, a := range f.Accounts() {
		v := Verdict{Email: a.Email}
		switch {
		case strings.HasPrefix(a.Email, "dead"):
			v.Err, v.Dead = errors.New("refresh token refused (invalid_grant)"), true
		case strings.HasPrefix(a.Email, "slow"):
			v.Err = errors.New("token endpoint unavailable")
		}
		out = append(out, v)
	}
	return out, nil
}

func (f *fakeAPI) VerifyOne(ctx context.Context, email string) (*Verified, error) {
	a, err := f.find(email)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.verified++
	f.mu.Unlock()
	v := &Verified{Email: a.Email, AccountID: a.AccountID, Works: true}
	if strings.HasPrefix(email, "dead") {
		*v = Verified{a.Email, a.AccountID, false, "token", "invalid_grant", "refresh token refused", "authorize it again", "refresh-token-refused", true}
	}
	return v, ctx.Err()
}

func (f *fakeAPI) Tenants() []Tenant {
	next := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	return []Tenant{{Name: "contoso.example", Used: 10000, Max: 10000, Accounts: 2, NextPlace: &next}, {Name: "fabrikam.example", Max: 5000}}
}

// Nodes has this proxy and one that differs from it, or none if saves fail.
func (f *fakeAPI) Nodes(context.Context) (roster.Roster, error) {
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	node := func(name, version string) share.Info {
		return share.Info{Node: share.Node{Name: name, Incarnation: "i"}, Version: version, Since: at, Seen: at, Members: 2}
	}
	if f.saveErr != nil {
		return roster.Roster{}, fmt.Errorf("%w: %w", roster.ErrUnknown, f.saveErr)
	}
	all := []share.Info{node("mx1", "1"), node("mx2", "2")}
	return roster.Of(all[0].Node, all), nil
}

func (f *fakeAPI) Info() Info {
	return Info{API: APIVersion, Version: "1", Revision: "r", PID: 7, AccountsFile: "/a.json"}
}

// Forecast has an ending tomorrow for each account, and one of a file in 30 days.
func (f *fakeAPI) Forecast() forecast.Forecast {
	now := time.Now()
	out := forecast.Forecast{At: now, Notes: []string{"a note"}}
	for _, a := range f.Accounts() {
		out.Endings = append(out.Endings, forecast.Ending{At: now.Add(24 * time.Hour), Kind: forecast.DailyLimit, Provider: "gmail", What: "messages a day",
			Accounts: []string{a.Email}, Detail: "of " + a.Email, Fails: "mail", Remedy: "wait", Assumes: "the pace", Hint: "a-hint"})
	}
	out.Endings = append(out.Endings, forecast.Ending{At: now.Add(30 * 24 * time.Hour), Kind: forecast.CACertificate, Fails: "TLS", Remedy: "renew"})
	return out
}

func (f *fakeAPI) find(email string) (Account, error) {
	for _, a := range f.Accounts() {
		if a.Email == email {
			return a, nil
		}
	}
	return Account{}, ErrNotFound
}

func (f *fakeAPI) Upgrade(_ context.Context, how Upgrade) (*Upgraded, error) {
	if how.Back {
		return nil, fmt.Errorf("%w: an upgrade is running", ErrConflict)
	}
	if how.Timeout == time.Second {
		return nil, errors.New("the new process ended: exit status 78")
	}
	return &Upgraded{PID: 2, Version: "2", Program: "/usr/local/bin/xoauth2-proxy", Replaced: 1, EndsSessions: 30}, nil
}

func (f *fakeAPI) Reload(acceptRemovals bool) (*Reloaded, error) {
	if f.saveErr != nil && !acceptRemovals {
		return nil, f.saveErr
	}
	return &Reloaded{TotalAccounts: 1, LogLevel: f.level, RestartNeeded: []string{"server.loops"}, CertificateError: "no PEM"}, nil
}

func (f *fakeAPI) LogLevel() string { return f.level }

func (f *fakeAPI) SetLogLevel(level string) error {
	if level != "debug" && level != "info" {
		return errors.New("level: is none")
	}
	f.level = level
	return nil
}

// newAPI starts a server whose API has accounts with those addresses.
func newAPI(t *testing.T, token string, emails ...string) (*fakeAPI, string) {
	t.Helper()
	f := &fakeAPI{level: "info", ended: make(chan struct{})}
	t.Cleanup(func() { close(f.ended) })
	for _, e := range emails {
		f.accounts = append(f.accounts, Account{AccountID: "id", Email: e, Provider: "gmail", Senders: []string{"self"}})
	}
	cfg := testConfig()
	cfg.Token, cfg.AccountMetrics = token, true
	if f.has("hung") {
		cfg.CallTimeout = 50 * time.Millisecond
	}
	notReady := func() []string {
		if len(f.Accounts()) == 0 {
			return []string{"there are no accounts"}
		}
		return nil
	}
	if token == "" { // what changes anything is served on the socket alone
		cfg.Sockets = []string{socketIn(t)}
	}
	s := newServer(t, cfg, notReady)
	s.ReportStuck(f.stuck)
	s.HandleAccountMetrics(func(w io.Writer, offset, count int) { fmt.Fprintf(w, "page %d %d\n", offset, count) })
	s.ReportWarnings(func() []string { return []string{"an entry is wrong"} })
	s.HandleAPI(f)
	url := start(t, s)
	if token == "" {
		return f, "socket:" + s.SocketPath()
	}
	return f, url
}

// newJSON is a new account as a request has it.
func newJSON(email string, more ...string) string {
	return `{"email": "` + email + `", "provider": "gmail", "client_id": "c", "client_secret": "canary-secret", "refresh_token": "canary-refresh"` +
		strings.Join(more, "") + `}`
}

func TestAPI(t *testing.T) {
	long := "[" + strings.Repeat(newJSON("a@a.test")+",", 100) + newJSON("b@a.test") + "]"
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		want                     string // in the answer
	}{
		{"list", "GET", "/admin/accounts", "", 200, `{"success":true,"total_accounts":2,"accounts":[{"account_id":"id","email":"have@a.test","ip_address":"","vmta_name":"","provider":"gmail","oauth_endpoint":"","oauth_token_url":"","senders":["self"],"state":"active"},`},
		{"list, one state", "GET", "/admin/accounts?state=active&provider=GMAIL", "", 200, `"email":"more@a.test",`},
		{"list, what is broken", "GET", "/admin/accounts?state=broken", "", 200, `{"success":true,"total_accounts":2,"accounts":[],"states":{"active":2}}`},
		{"list, another provider", "GET", "/admin/accounts?provider=outlook", "", 200, `"accounts":[],`},
		{"list, no such state", "GET", "/admin/accounts?state=active,dead", "", 400, `state: \"dead\" is none of active, throttled,`},
		{"add", "POST", "/admin/accounts", newJSON("new@a.test"), 200, `{"success":true,"message":"Account new@a.test added successfully","total_accounts":3,"account":{"account_id":"gmail_x","email":"new@a.test",`},
		{"add, dry run", "POST", "/admin/accounts?dry_run=true", newJSON("new@a.test"), 200, `"message":"Dry run: account new@a.test would be added","total_accounts":3,"dry_run":true}`},
		{"add, no JSON", "POST", "/admin/accounts", `{"refresh_token": "canary`, 400, "invalid JSON"},
		{"add, Latin-1", "POST", "/admin/accounts", newJSON("j\xf6rg@a.test"), 400, "it is not in UTF-8"},
		{"add, another type", "POST", "/admin/accounts", `{"refresh_token": 5}`, 400, `the field \"refresh_token\" must be of type string`},
		{"add, an array", "POST", "/admin/accounts", `[]`, 400, "a JSON object is wanted"},
		{"add, nothing", "POST", "/admin/accounts", "", 400, "invalid JSON"},
		{"add, fields missing", "POST", "/admin/accounts", `{"email": "x@a.test", "provider": "gmail"}`, 400, "missing required fields: client_id, refresh_token"},
		{"add, no address", "POST", "/admin/accounts", newJSON("new"), 400, "invalid email format"},
		{"add, no secret", "POST", "/admin/accounts", strings.Replace(newJSON("new@a.test"), "client_secret", "_", 1), 400, "client_secret: is needed"},
		{"add, not verified", "POST", "/admin/accounts", newJSON("bad@a.test"), 400, "account verification failed: refresh token refused"},
		{"add, not to be verified", "POST", "/admin/accounts", newJSON("bad@a.test", `, "verify": false`), 200, "added successfully"},
		{"add, there already", "POST", "/admin/accounts", newJSON("Have@a.test"), 409, "already exists"},
		{"add, overwrite", "POST", "/admin/accounts", newJSON("have@a.test", `, "overwrite": true`), 200, `"total_accounts":2`},
		{"batch", "POST", "/admin/accounts/batch", "[" + newJSON("x@a.test") + "," + newJSON("y@a.test") + "]", 200, `{"success":true,"message":"Added 2 accounts successfully","total_accounts":4,"added_count":2}`},
		{"batch, partial", "POST", "/admin/accounts/batch", "[" + newJSON("bad1@a.test") + "," + newJSON("x@a.test") + "," + newJSON("bad2@a.test", `, "verify": false`) + "]", 206,
			`{"success":"partial","message":"Added 2 accounts, 1 failed","total_accounts":4,"added_count":2,"failed_count":1,"failed_accounts":[{"email":"bad1@a.test","error":"refresh token refused"}]}`},
		{"batch, all fail", "POST", "/admin/accounts/batch", "[" + newJSON("bad@a.test") + "]", 400, `{"success":false,"error":"all accounts failed verification","added_count":0,"failed_accounts":[{"email":"bad@a.test",`},
		{"batch, nothing verified", "POST", "/admin/accounts/batch", "[" + newJSON("x@a.test", `, "verify": false`) + "]", 200, `"added_count":1`},
		{"batch, no array", "POST", "/admin/accounts/batch", newJSON("x@a.test"), 400, "a JSON array is wanted"},
		{"batch, null", "POST", "/admin/accounts/batch", "null", 400, "must be an array"},
		{"batch, empty", "POST", "/admin/accounts/batch", "[]", 400, "no accounts provided"},
		{"batch, too many", "POST", "/admin/accounts/batch", long, 400, "the maximum is 100"},
		{"batch, one malformed", "POST", "/admin/accounts/batch", "[" + newJSON("x@a.test") + `,{"email":"y@a.test"}]`, 400, "account 2: missing required fields: provider, client_id, refresh_token"},
		{"batch, there already", "POST", "/admin/accounts/batch", "[" + newJSON("have@a.test") + "," + newJSON("x@a.test") + "," + newJSON("X@a.test") + "]", 409, `"duplicates":["have@a.test","X@a.test"]`},
		{"delete", "DELETE", "/admin/accounts/have@a.test", "", 200, `{"success":true,"message":"Account have@a.test deleted successfully","total_accounts":1}`},
		{"delete, escaped", "DELETE", "/admin/accounts/have%40a.test", "", 200, `"total_accounts":1}`},
		{"delete, dry run", "DELETE", "/admin/accounts/have@a.test?dry_run=true", "", 200, `"message":"Dry run: account have@a.test would be removed","total_accounts":1,"dry_run":true}`},
		{"delete, no address", "DELETE", "/admin/accounts/have", "", 400, "invalid email format"},
		{"delete, not there", "DELETE", "/admin/accounts/other@a.test", "", 404, "not found"},
		{"delete all, unconfirmed", "DELETE", "/admin/accounts", "", 400, "confirm=true"},
		{"delete all", "DELETE", "/admin/accounts?confirm=true", "", 200, `"total_accounts":0}`},
		{"delete all, dry run", "DELETE", "/admin/accounts?confirm=true&dry_run=true", "", 200, `"message":"Dry run: all 2 accounts would be removed","total_accounts":0,"dry_run":true}`},
		{"state", "GET", "/admin/accounts/have@a.test", "", 200, `"hold":{"state":"active"},"token":{"valid":false,"age_seconds":0},"connections":{"dialing":0,"active":0,"parked":1,"closing":0,"limit":3,"waiting_messages":0},"limits":[]}`},
		{"state, not there", "GET", "/admin/accounts/other@a.test", "", 404, "not found"},
		{"state, no address", "GET", "/admin/accounts/other", "", 400, "invalid email"},
		{"a literal route has no GET", "GET", "/admin/accounts/invalid", "", 400, "invalid email"},
		{"pause", "POST", "/admin/accounts/have@a.test/pause", "", 200, `"hold":{"state":"paused","since":"2026-01-02T03:04:05Z"}}`},
		{"drain, not there", "POST", "/admin/accounts/other@a.test/drain", "", 404, "not found"},
		{"resume, no address", "POST", "/admin/accounts/other/resume", "", 400, "invalid email"},
		{"unknown order", "POST", "/admin/accounts/have@a.test/stop", "", 404, "not found"},
		{"verify", "POST", "/admin/accounts/verify", `{"email": "have@a.test"}`, 200, `{"success":true,"email":"have@a.test","account_id":"id","works":true,"phase":"",`},
		{"verify, not there", "POST", "/admin/accounts/verify", `{"email": "other@a.test"}`, 404, "not found"},
		{"verify, no address", "POST", "/admin/accounts/verify", `{"email": "have"}`, 400, "invalid email"},
		{"verify, no JSON", "POST", "/admin/accounts/verify", `{`, 400, "invalid JSON"},
		{"verify, for too long", "POST", "/admin/accounts/verify", `{"email": "have@a.test", "timeout_seconds": 3601}`, 400, "1..3600"},
		{"verify, for no time", "POST", "/admin/accounts/verify", `{"email": "have@a.test", "timeout_seconds": 0}`, 400, "1..3600"},
		{"info", "GET", "/admin/info", "", 200, `{"success":true,"api":1,"version":"1","revision":"r","pid":7,"accounts_file":"/a.json","seal_key":"","token_store_key":""}`},
		{"reload", "POST", "/admin/reload", "", 200, `"restart_needed":["server.loops"],"certificate_error":"no PEM"}`},
		{"upgrade", "POST", "/admin/upgrade", "", 200, `"message":"process 2 accepts in place of process 1","pid":2,"version":"2"`},
		{"upgrade, no time", "POST", "/admin/upgrade?timeout=soon", "", 400, "timeout: a time up to 1h is wanted"},
		{"upgrade, failed", "POST", "/admin/upgrade?timeout=1s", "", 422, "exit status 78"},
		{"upgrade, one runs", "POST", "/admin/upgrade?back=true", "", 409, "an upgrade is running"},
		{"level", "PUT", "/admin/log/level", `{"level": "debug"}`, 200, `{"success":true,"level":"debug"}`},
		{"level, none", "PUT", "/admin/log/level", `{"level": "loud"}`, 400, "level: is none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, url := newAPI(t, "", "have@a.test", "more@a.test")
			resp, body := do(t, tt.method, url+tt.path, tt.body)
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, tt.status, tt.want)
			}
			if !json.Valid([]byte(body)) || strings.Contains(body, "canary") {
				t.Errorf("the answer is no JSON, or shows a secret: %s", body)
			}
		})
	}
}

func TestAPIDeletesOnlyTheDead(t *testing.T) {
	f, url := newAPI(t, "", "dead1@a.test", "slow@a.test", "good@a.test", "dead2@a.test")
	path := url + "/admin/accounts/invalid"
	want := `"total_accounts":2,"deleted_count":2,"deleted_accounts":["dead1@a.test","dead2@a.test"],"kept_accounts":[{"email":"slow@a.test","error":"token endpoint unavailable"}]`
	if resp, body := do(t, "DELETE", path+"?dry_run=true", ""); resp.StatusCode != 200 || !strings.Contains(body, want) || !strings.Contains(body, "would be removed") || len(f.Accounts()) != 4 {
		t.Errorf("dry run: %d %s, %v", resp.StatusCode, body, f.Accounts())
	}
	if resp, body := do(t, "DELETE", path, ""); resp.StatusCode != 200 || !strings.Contains(body, want) || len(f.Accounts()) != 2 {
		t.Errorf("%d %s, %v", resp.StatusCode, body, f.Accounts())
	}
	if resp, body := do(t, "DELETE", path, ""); resp.StatusCode != 404 || !strings.Contains(body, "no invalid accounts found") {
		t.Errorf("none left: %d %s", resp.StatusCode, body)
	}
}

func TestAPICannotSave(t *testing.T) {
	for _, r := range []struct{ method, path, body string }{
		{"POST", "/admin/accounts", newJSON("new@a.test")},
		{"POST", "/admin/accounts/batch", "[" + newJSON("new@a.test") + "]"},
		{"DELETE", "/admin/accounts/dead@a.test", ""},
		{"DELETE", "/admin/accounts?confirm=true", ""},
		{"DELETE", "/admin/accounts/invalid", ""},
	} {
		f, url := newAPI(t, "", "dead@a.test")
		f.saveErr = errors.New("no space left on device")
		if resp, body := do(t, r.method, url+r.path, r.body); resp.StatusCode != 500 || !strings.Contains(body, "no space left") {
			t.Errorf("%s %s: %d %s", r.method, r.path, resp.StatusCode, body)
		}
		if f.verified > 0 {
			t.Errorf("%s %s: a provider was asked about what cannot be saved", r.method, r.path)
		}
	}
}

func TestToken(t *testing.T) {
	f, url := newAPI(t, testToken, "have@a.test")
	get := func(path string, header ...string) int {
		t.Helper()
		resp, _ := testkit.Ask(t, nil, "GET", url+path, "", header...)
		if (resp.StatusCode == 401) != (resp.Header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d with WWW-Authenticate %q", path, resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
		}
		return resp.StatusCode
	}
	for _, tt := range []struct {
		path   string
		header []string
		want   int
	}{
		{"/admin/accounts", nil, 401},
		{"/admin/nothing", nil, 401},
		{"/debug/pprof/", nil, 401},
		{"/health", nil, 200},
		{"/metrics", nil, 200},
		{"/metrics/accounts", nil, 401},
		{"/metrics/accounts", []string{"Authorization", "Bearer " + testToken}, 200},
		{"/%6Detrics/accounts", nil, 401},
		{"//metrics/../metrics/accounts", nil, 401},
		{"/ready", nil, 200},
		{"/admin/accounts", []string{"Authorization", "Bearer " + testToken}, 200},
		{"/admin/accounts", []string{"Authorization", "bearer  " + testToken}, 200},
		{"/admin/accounts", []string{"Authorization", "Basic " + testToken}, 401},
		{"/admin/accounts", []string{"Authorization", "Bearer " + testToken + "x"}, 401},
		{"/admin/accounts", []string{"Authorization", "Bearer "}, 401},
		{"/admin/accounts", []string{"Authorization", testToken}, 401},
		{"/admin/accounts", []string{"Authorization", "Bearer " + testToken, "Origin", "https://evil.example"}, 200},
	} {
		if got := get(tt.path, tt.header...); got != tt.want {
			t.Errorf("%s with %q: %d, want %d", tt.path, tt.header, got, tt.want)
		}
	}
	if len(f.saved) > 0 {
		t.Error("something was saved")
	}
}

func TestNewAccountShowsNoSecret(t *testing.T) {
	n := NewAccount{Email: "a@a.test", RefreshToken: "canary", ClientSecret: "canary"}
	if s := fmt.Sprintf("%v %+v %#v %s %q %v", n, n, n, n, n, &n); strings.Contains(s, "canary") {
		t.Error(s)
	}
}

// TestForecast: the query chooses the time, and whether each account is shown.
func TestForecast(t *testing.T) {
	_, url := newAPI(t, "", "a@a.test", "b@a.test")
	for query, want := range map[string][]int{ // accounts of each ending
		"":                     {2, 0},
		"?within=7d":           {2},
		"?within=720h1m":       {2, 0},
		"?within=1h":           {},
		"?all=true":            {1, 1, 0},
		"?all=true&within=25h": {1, 1},
	} {
		_, body := do(t, "GET", url+"/admin/forecast"+query, "")
		var got struct{ Endings []forecast.Ending }
		if err := json.Unmarshal([]byte(body), &got); err != nil || !strings.Contains(body, `"endings":[`) {
			t.Fatalf("%s: %s, %v", query, body, err)
		}
		counts := []int{}
		for _, e := range got.Endings {
			counts = append(counts, len(e.Accounts))
		}
		if !slices.Equal(counts, want) {
			t.Errorf("%q: endings of %d accounts, want %d", query, counts, want)
		}
	}
}
