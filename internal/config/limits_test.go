package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

func TestConnectionsOfAnAccount(t *testing.T) {
	tests := []struct {
		name     string
		provider string // of the account
		config   string
		account  string // further keys
		want     int
		report   string // part of a line; may be empty
	}{
		{"preset of gmail", "gmail", `{}`, ``, 10, ""},
		{"preset of outlook", "outlook", `{}`, ``, 3, ""},
		{"above the ceiling", "gmail", `{"providers": {"gmail": {"connection_pool": {"max_connections_per_account": 50}}}}`, ``, 10,
			"max_connections_per_account = 50: clamped: 10 is in force: Gmail answers 421"},
		{"below the ceiling", "gmail", `{"providers": {"gmail": {"connection_pool": {"max_connections_per_account": 4}}}}`, ``, 4,
			"max_connections_per_account = 4: in force"},
		{"messages lower than connections", "gmail",
			`{"providers": {"gmail": {"max_concurrent_messages": 5, "connection_pool": {"max_connections_per_account": 8}}}}`, ``, 5,
			"max_connections_per_account = 8: clamped: 5 is in force: providers.gmail.max_concurrent_messages is lower"},
		{"connections lower than messages", "gmail",
			`{"providers": {"gmail": {"max_concurrent_messages": 8, "connection_pool": {"max_connections_per_account": 5}}}}`, ``, 5,
			"max_concurrent_messages = 8: clamped: 5 is in force: providers.gmail.connection_pool.max_connections_per_account is lower"},
		{"relay at gmail", "gmail", `{"powermta_relay": {"max_concurrent_connections_per_account": 2}}`, ``, 10,
			"powermta_relay.max_concurrent_connections_per_account = 2: ignored: the original did not read this section"},
		{"relay with messages", "own", `{"powermta_relay": {"max_concurrent_connections_per_account": 6}, "providers": {"own": {` + own + `"max_concurrent_messages": 20}}}`, ``, 20,
			"powermta_relay.max_concurrent_connections_per_account = 6: ignored"},
		{"account lowers", "gmail", `{}`, `"connection_settings": {"max_connections_per_account": 2}`, 2, ""},
		{"account raises over the section", "gmail", `{"providers": {"gmail": {"connection_pool": {"max_connections_per_account": 4}}}}`,
			`"connection_settings": {"max_connections_per_account": 6}`, 6, ""},
		{"account above the ceiling", "gmail", `{}`, `"connection_settings": {"max_connections_per_account": 60}`, 10,
			"accounts[].connection_settings.max_connections_per_account = 60: clamped: 10 is in force: Gmail"},
		{"messages of the account lower", "gmail", `{}`, `"max_concurrent_messages": 7`, 7, ""},
		{"messages of the account do not raise", "gmail", `{"providers": {"gmail": {"connection_pool": {"max_connections_per_account": 4}}}}`,
			`"max_concurrent_messages": 10`, 4, "accounts[].max_concurrent_messages = 10: clamped: 4 is in force: the connections of the account or of its provider are set lower"},
		{"a provider of one's own has no ceiling", "own", `{"providers": {"own": {` + own + `"connection_pool": {"max_connections_per_account": 500}}}}`, ``, 500, ""},
		{"default is the base", "own", `{"providers": {"own": {` + own + `}, "default": {"connection_pool": {"max_connections_per_account": 40}}}}`, ``, 40, ""},
		{"default does not bound", "own", `{"providers": {"own": {` + own + `"max_concurrent_messages": 200}, "default": {"max_concurrent_messages": 100}}}`, ``, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, report := oneAccount(t, tt.provider, tt.config, tt.account)
			if a.Limits.MaxConnections != tt.want {
				t.Errorf("%d connections, want %d", a.Limits.MaxConnections, tt.want)
			}
			checkReport(t, report, tt.report)
		})
	}
}

// own is the start of a section for a provider of one's own.
const own = `"smtp_host": "smtp.example.com", "smtp_port": 465, "token_url": "http://127.0.0.1:8080/token",`

// oneAccount loads one account with further keys.
func oneAccount(t *testing.T, provider, config, further string) (*account.Account, *keyfile.Report) {
	t.Helper()
	_, snapshot, report := mustLoad(t, config, fmt.Sprintf(
		`[{"email": "u@example.com", "provider": %q, "client_id": "c", "client_secret": "s", "refresh_token": "r", %s}]`, provider, further))
	return snapshot.All()[0], report
}

func TestOwnProvider(t *testing.T) {
	a, _ := oneAccount(t, "own", `{
		"upstream": {"acquire_timeout": "3s"},
		"oauth": {"refresh_margin": "2m"},
		"providers": {"own": {`+own+` "scope": "mail", "max_message_size": "1MiB", "max_recipients": 7,
			"retry": {"max_attempts": 5, "backoff_factor": 1.5, "max_delay_seconds": 2, "jitter_enabled": false},
			"rate_limiting": {"messages_per_minute": 1, "messages_per_hour": 2, "messages_per_day": 3, "recipients_per_day": 4, "logins_per_minute": 5},
			"connection_pool": {"max_messages_per_connection": 6, "connection_max_age_seconds": 7, "connection_idle_timeout_seconds": 8}}}}`, ``)
	want := account.Account{
		ID: "own_u_example_com", Email: "u@example.com", Provider: "own", VMTA: "vmta-own-u", ClientID: "c",
		TokenURL: "http://127.0.0.1:8080/token", Scope: "mail", ClientSecret: account.NewSecret("s"), RefreshToken: account.NewSecret("r"),
		SMTP: account.Endpoint{Host: "smtp.example.com", Port: 465, TLS: account.TLSImplicit},
		Limits: account.Limits{
			MaxConnections: 3, MaxMessagesPerConnection: 6, MaxRecipients: 7,
			ConnectionMaxAge: 7 * time.Second, IdleTimeout: 8 * time.Second, AcquireTimeout: 3 * time.Second,
			MessagesPerMinute: 1, MessagesPerHour: 2, MessagesPerDay: 3, RecipientsPerDay: 4, LoginsPerMinute: 5, MaxMessageSize: 1 << 20,
		},
		RefreshMargin: 2 * time.Minute, Extensions: account.ExtensionsUnknown,
		Retry: account.RetryPolicy{MaxAttempts: 5, BackoffFactor: 1.5, MaxDelay: 2 * time.Second},
	}
	if got, want := fmt.Sprintf("%+v", *a), fmt.Sprintf("%+v", want); !strings.HasPrefix(got, strings.TrimSuffix(want, " prints:<nil>}")) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAccountOverrides(t *testing.T) {
	a, _ := oneAccount(t, "outlook", `{"global": {"smtp": {"use_ipv6": true}}}`,
		`"oauth_endpoint": "127.0.0.1:2465", "tls": "implicit", "oauth_token_url": "http://localhost:1/t", "scope": "x", "auth_identity": "shared@example.com",
		"send_client_secret": true, "ip_address": "2001:db8::1", "max_recipients": 900, "max_message_size": 1000, "max_messages_per_hour": 60`)
	if a.SMTP != (account.Endpoint{Host: "127.0.0.1", Port: 2465, TLS: account.TLSImplicit}) || a.TokenURL != "http://localhost:1/t" || a.Scope != "x" ||
		a.Identity() != "shared@example.com" || a.ClientSecret.Reveal() != "s" || a.SourceIP.String() != "2001:db8::1" ||
		a.Limits.MaxRecipients != 900 || a.Limits.MaxMessageSize != 1000 || a.Limits.MessagesPerHour != 60 {
		t.Errorf("%+v", a)
	}
}

func TestSourceAddressOnlyWhenBinding(t *testing.T) {
	a, report := oneAccount(t, "gmail", `{"global": {"smtp": {"use_source_ip_binding": false}}}`, `"ip_address": "192.0.2.1"`)
	if a.SourceIP.IsValid() {
		t.Errorf("source %v", a.SourceIP)
	}
	checkReport(t, report, `accounts[].ip_address = "192.0.2.1": ignored: global.smtp.use_source_ip_binding is false`)
}

func TestRefreshMarginHasAFloor(t *testing.T) {
	s, _, report := mustLoad(t, `{"global": {"oauth2": {"token_refresh_buffer_seconds": 120}}, "providers": {"gmail": {"refresh_margin": "4m"}}}`, "")
	for name, want := range map[string]time.Duration{"gmail": 4 * time.Minute, "outlook": 10 * time.Minute, "default": 2 * time.Minute} {
		if got := s.Providers[name].RefreshMargin; got != want {
			t.Errorf("margin of %s is %v, want %v", name, got, want)
		}
	}
	checkReport(t, report, "token_refresh_buffer_seconds = 120: clamped: 10m0s is in force: that is the least for outlook")
}

func TestRates(t *testing.T) {
	a, report := oneAccount(t, "outlook", `{}`, `"rate_limiting": {"enabled": false, "messages_per_minute": 5, "messages_per_hour": 7}, "max_messages_per_hour": 9`)
	if a.Limits.MessagesPerMinute != 30 || a.Limits.MessagesPerHour != 9 {
		t.Errorf("%+v", a.Limits)
	}
	checkReport(t, report, "accounts[].rate_limiting.messages_per_minute = 5: ignored: rate_limiting.enabled is false")
	a, report = oneAccount(t, "outlook", `{}`, `"rate_limiting": {"messages_per_minute": 0, "recipients_per_day": 20000}`)
	if a.Limits.MessagesPerMinute != 30 || a.Limits.RecipientsPerDay != 10000 {
		t.Errorf("%+v", a.Limits)
	}
	checkReport(t, report, "messages_per_minute = 0: clamped: 30 is in force: Microsoft takes 30 messages a minute")
}

func TestManyAccountsSayItOnce(t *testing.T) {
	var b strings.Builder
	b.WriteByte('[')
	for i := range 50 {
		fmt.Fprintf(&b, `{"email": "u%d@contoso.com", "provider": "outlook", "client_id": "c", "refresh_token": "r", "max_concurrent_messages": 10},`+"\n", i)
	}
	b.WriteByte(']')
	_, snapshot, report := mustLoad(t, "", b.String())
	if snapshot.Len() != 50 || len(report.Entries()) != 1 {
		t.Errorf("%d accounts, entries %v", snapshot.Len(), report.Entries())
	}
	checkReport(t, report, ":1: accounts[]", "")
	checkReport(t, report, "(and 49 more)")
}
