package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/server"
)

// load writes the two files and loads them; an empty text is "{}" and "[]".
func load(t *testing.T, config, accounts string) (*Settings, *account.Snapshot, *keyfile.Report, error) {
	t.Helper()
	if config == "" {
		config = "{}"
	}
	if accounts == "" {
		accounts = "[]"
	}
	dir := t.TempDir()
	return Load(write(t, dir, "config.json", config), write(t, dir, "accounts.json", accounts), nil)
}

// newDefaults returns the settings that are in force without any file.
func newDefaults() *Settings { return readConfig(nil, nil) }

func mustLoad(t *testing.T, config, accounts string) (*Settings, *account.Snapshot, *keyfile.Report) {
	t.Helper()
	s, snapshot, report, err := load(t, config, accounts)
	if err != nil {
		t.Fatal(err)
	}
	return s, snapshot, report
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkReport wants a line that contains all the parts.
func checkReport(t *testing.T, r *keyfile.Report, parts ...string) {
	t.Helper()
	for _, line := range r.Lines() {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return
		}
	}
	t.Errorf("no line with %q in\n%s", parts, strings.Join(r.Lines(), "\n"))
}

// TestOriginalFiles loads what the predecessor shipped and wrote, unchanged.
func TestOriginalFiles(t *testing.T) {
	s, _, report, err := Load("testdata/original/config.json", "testdata/original/accounts_array.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Upstream.MaxWaiting != 10000 || s.OAuth.Timeout != 10*time.Second {
		t.Error("the misplaced keys are not honoured")
	}
	if g := s.Providers["gmail"].Limits; g.MaxConnections != 10 || g.MaxMessagesPerConnection != 200 ||
		g.ConnectionMaxAge != 5*time.Minute || g.IdleTimeout != 30*time.Second {
		t.Errorf("limits of gmail: %+v", g)
	}
	const key = "providers.gmail.connection_pool.max_connections_per_account = 50: clamped: 10 is in force: Gmail answers 421"
	checkReport(t, report, "config.json:25: ", key)
	checkReport(t, report, "config.json:46: ", "= 50: clamped: 3 is in force: Microsoft refuses the fourth connection of a mailbox with 432 4.3.2")
	checkReport(t, report, "config.json:8: global.http_pool.total_connections = 5000: ignored: ")
	checkReport(t, report, "config.json:9: global.http_pool.connections_per_host = 100: in force")
	for _, e := range report.Entries() {
		if e.Status == keyfile.Unknown {
			t.Errorf("unknown: %v", e)
		}
		if strings.Contains(e.Key, "_comment") || strings.Contains(e.Key, "_note") {
			t.Errorf("a note is reported: %v", e)
		}
	}
}

func TestOriginalAccounts(t *testing.T) {
	_, snapshot, _, err := Load("testdata/original/config.json", "testdata/original/accounts_array.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, ok := snapshot.ByLogin([]byte("SALES@example.com"))
	if !ok {
		t.Fatal("sales@example.com is not found")
	}
	if a.ID != "gmail_sales_example_com" || a.VMTA != "vmta-gmail-sales" || a.SourceIP != netip.MustParseAddr("192.168.1.100") ||
		a.SMTP != (account.Endpoint{Host: "smtp.gmail.com", Port: 587, TLS: account.TLSStartTLS}) ||
		a.RefreshToken.Reveal() != "1//canary-refresh!*$.x" || a.ClientSecret.Reveal() != "canary-secret" ||
		a.RefreshMargin != 5*time.Minute || a.Limits.MaxConnections != 10 || a.Limits.MessagesPerDay != 2000 {
		t.Errorf("sales@example.com: %+v", a)
	}
	if a, ok = snapshot.ByLogin([]byte("news@hotmail.com")); !ok || a.TokenURL != "https://login.live.com/oauth20_token.srf" ||
		a.SourceIP.IsValid() || !a.ClientSecret.IsZero() || a.RefreshMargin != 10*time.Minute || a.Limits.MessagesPerMinute != 30 {
		t.Errorf("news@hotmail.com: %+v", a)
	}
}

// TestOriginalOverrides loads the object form with the override objects, which
// the predecessor could not load itself.
func TestOriginalOverrides(t *testing.T) {
	_, snapshot, report, err := Load("testdata/empty_object.json", "testdata/original/accounts_object.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := snapshot.ByID("acc1")
	l := one.Limits
	if l.MaxConnections != 2 || l.MaxMessagesPerConnection != 40 || l.ConnectionMaxAge != 15*time.Minute || l.MessagesPerHour != 400 {
		t.Errorf("limits of acc1: %+v", l)
	}
	if one.Retry != (account.RetryPolicy{MaxAttempts: 4, BackoffFactor: 2, MaxDelay: 30 * time.Second}) {
		t.Errorf("retry of acc1: %+v", one.Retry)
	}
	if !one.ClientSecret.IsZero() {
		t.Error("the secret of an outlook account is sent")
	}
	two, _ := snapshot.ByID("acc2")
	if two.SMTP != (account.Endpoint{Host: "::1", Port: 465, TLS: account.TLSImplicit}) || two.Limits.MaxConnections != 10 {
		t.Errorf("acc2: %v, %+v", two.SMTP, two.Limits)
	}
	three, _ := snapshot.ByID("acc3")
	if three.TokenURL != "https://login.live.com/oauth20_token.srf" || three.Limits.MaxConnections != 3 {
		t.Errorf("acc3: %v, %+v", three.TokenURL, three.Limits)
	}
	checkReport(t, report, ":31: accounts[].favourite_colour: unknown key")
	checkReport(t, report, ":19: accounts[].connection_settings.unknown_inside: unknown key")
	checkReport(t, report, ":18: accounts[].connection_settings.connection_max_age_seconds = 1200: clamped: 15m0s is in force: Microsoft ends a session")
	checkReport(t, report, ":13: accounts[].max_messages_per_hour = 500: clamped: 400 is in force")
	checkReport(t, report, ":51: accounts[].max_concurrent_messages = 10: clamped: 3 is in force: Microsoft refuses")
	checkReport(t, report, "accounts: 3 (outlook 2, gmail 1)")
	if all := strings.Join(report.Lines(), "\n"); strings.Contains(all, "canary") {
		t.Errorf("a secret is in the report:\n%s", all)
	}
}

func TestWithoutConfig(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	if _, _, _, err := Load("", "", nil); err == nil || !strings.HasPrefix(err.Error(), "accounts.json: is in none of ., /etc/xoauth2,") {
		t.Errorf("without files: %v", err)
	}
	write(t, dir, "accounts.json", `[]`)
	s, snapshot, report, err := Load("", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := newDefaults()
	want.AccountsFile = "accounts.json"
	if !reflect.DeepEqual(s, want) || snapshot.Len() != 0 {
		t.Errorf("settings %+v, want %+v", s, want)
	}
	if s.Server.Listeners[0].Address != "127.0.0.1:2525" || s.Admin.Address != "127.0.0.1:9090" || len(s.Server.Listeners) != 1 {
		t.Errorf("addresses %v, %v", s.Server.Listeners, s.Admin.Address)
	}
	checkReport(t, report, "no config.json in ., /etc/xoauth2, ")
}

func TestSearch(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", filepath.Join(dir, "home"))
	if err := os.MkdirAll("home/.xoauth2", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "home/.xoauth2/config.json", `{"server": {"hostname": "home"}}`)
	write(t, dir, "home/.xoauth2/accounts.json", `[]`)
	check := func(want string) {
		t.Helper()
		s, _, _, err := Load("", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.Server.Hostname != want {
			t.Errorf("the configuration of %q is read, want %q", s.Server.Hostname, want)
		}
	}
	check("home")
	write(t, dir, "config.json", `{"server": {"hostname": "here"}}`)
	check("here")
	if _, _, _, err := Load("nowhere.json", "", nil); err == nil || err.Error() != "nowhere.json: cannot be read: no such file or directory" {
		t.Errorf("a file that is named and not there: %v", err)
	}
}

// Unit files of the predecessor give the accounts as --config.
func TestAccountsGivenAsConfig(t *testing.T) {
	for _, text := range []string{`[]`, `{"accounts": []}`} {
		path := write(t, t.TempDir(), "accounts.json", text)
		s, _, report, err := Load(path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.AccountsFile != path || s.ConfigFile != "" {
			t.Errorf("files %q, %q", s.ConfigFile, s.AccountsFile)
		}
		checkReport(t, report, path+": holds accounts and no configuration")
	}
}

func TestLaterKeyWins(t *testing.T) {
	s, _, report := mustLoad(t, `{
		"oauth": {"request_timeout": "7s"},
		"global": {
			"oauth2_timeout": 5,
			"timeouts": {"oauth2_timeout": 6},
			"backpressure_queue_size": 10,
			"concurrency": {"backpressure_queue_size": 20},
			"logging": {"level": "WARNING"}
		},
		"server": {"loops": 1, "loops": 2}
	}`, "")
	if s.OAuth.Timeout != 7*time.Second || s.Upstream.MaxWaiting != 20 || s.Log.Level != "warn" || s.Server.Loops != 2 {
		t.Errorf("%+v %+v %+v", s.OAuth, s.Upstream, s.Log)
	}
	checkReport(t, report, ":4: global.oauth2_timeout = 5: ignored: global.timeouts.oauth2_timeout says the same and wins")
	checkReport(t, report, ":5: global.timeouts.oauth2_timeout = 6: ignored: oauth.request_timeout says the same and wins")
	checkReport(t, report, ":6: global.backpressure_queue_size = 10: ignored: ")
	checkReport(t, report, ":7: global.concurrency.backpressure_queue_size = 20: in force")
	checkReport(t, report, "server.loops: ignored: given again on line 10")
}

func TestLenience(t *testing.T) {
	s, snapshot, report := mustLoad(t, "\ufeff// a comment\n{\"_note\": [1, {\"x\": 2}], \"server\": {\"_x\": 1, \"loops\": 2e0, /* c */ \"hostname\": null,}, \"global\": null,"+
		" \"servers\": {\"refresh_token\": \"canary\"}} // the end",
		`{"accounts": [{"_comment": "x", "email": "A@b.example", "provider": "GMail", "client_id": "c", "client_secret": "s", "refresh_token": "r",}], "version": 1}`)
	if s.Server.Loops != 2 || s.Server.Hostname != "xoauth2-proxy" {
		t.Errorf("%+v", s.Server)
	}
	checkReport(t, report, "servers: unknown key")
	checkReport(t, report, "version: unknown key")
	a, ok := snapshot.ByLogin([]byte("a@B.example"))
	if !ok || a.Email != "A@b.example" || a.ID != "gmail_A_b_example" || a.VMTA != "vmta-gmail-A" {
		t.Errorf("%+v", a)
	}
	if strings.Contains(strings.Join(report.Lines(), "\n"), "canary") {
		t.Error("the value of an unknown key is in the report")
	}
}

func TestListeners(t *testing.T) {
	s, _, _ := mustLoad(t, `{"listeners": [
		{"address": "localhost:2525"},
		{"address": ":2526", "allow": ["10.1.2.3/24", "192.0.2.1", "fc00::/7", "::ffff:10.9.0.0/112"]},
		{"address": ":2527", "passwords": "account", "proxy_from": ["192.0.2.9"], "max_connections": 3, "max_per_source": 2, "max_messages": 1},
		{"address": "unix:/run/x/smtp.sock"},
		{"address": "systemd:smtp"},
	]}`, "")
	want := []server.Listener{
		{Address: "127.0.0.1:2525", TLS: server.TLSNone, Passwords: "any"},
		{Address: "[::]:2526", TLS: server.TLSNone, Passwords: "any", Allow: []netip.Prefix{
			netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("192.0.2.1/32"),
			netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("10.9.0.0/16"),
		}},
		{Address: "[::]:2527", TLS: server.TLSNone, Passwords: "account", MaxConnections: 3, MaxPerSource: 2, MaxMessages: 1,
			ProxyFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")}},
		{Address: "unix:/run/x/smtp.sock", TLS: server.TLSNone, Passwords: "any"},
		{Address: "systemd:smtp", TLS: server.TLSNone, Passwords: "any"},
	}
	if !reflect.DeepEqual(s.Server.Listeners, want) {
		t.Errorf("listeners %v, want %v", s.Server.Listeners, want)
	}
}
