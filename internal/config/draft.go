package config

import (
	"net/netip"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// draft is config.json while it is read: the settings that are final at once,
// and what is settled when all of the file is known.
type draft struct {
	settings         Settings
	adminAddress     netip.AddrPort
	listeners        []Listener
	listenerNodes    []*keyfile.Value // of listeners
	acquire, margin  keyfile.Given[time.Duration]
	relayConnections keyfile.Given[int]
	providers        map[string]*providerDraft
}

func newDraft() *draft {
	return &draft{settings: defaults(), adminAddress: netip.MustParseAddrPort("127.0.0.1:9090")}
}

// defaults has the default of every setting but Listeners and Providers.
func defaults() Settings {
	return Settings{
		Server: Server{
			Hostname:        "xoauth2-proxy",
			Pin:             "off",
			MaxConnections:  20000,
			MaxRecipients:   1000,
			MaxErrors:       20,
			MaxPipelined:    64 << 10,
			MaxMessageSize:  35 << 20, // above Gmail's 35,882,577 octets
			ContentBudget:   1 << 30,
			GreetingTimeout: 5 * time.Minute,
			CommandTimeout:  5 * time.Minute,
			ContentTimeout:  3 * time.Minute,
			IdleTimeout:     5 * time.Minute,
			SessionTimeout:  24 * time.Hour,
			BareNewlines:    "refuse",
			DrainTimeout:    30 * time.Second,
		},
		Upstream: Upstream{
			OnLoops:         true,
			QueueSize:       10000,
			DialTimeout:     10 * time.Second,
			TLSTimeout:      10 * time.Second,
			GreetingTimeout: 30 * time.Second,
			CommandTimeout:  30 * time.Second,
			ContentTimeout:  3 * time.Minute,
			// Together well below the ten minutes that clients wait for the
			// reply to end-of-data (RFC 5321 section 4.5.3.2.6).
			FinalReplyTimeout:  5 * time.Minute,
			TransactionTimeout: 8 * time.Minute,
			BindSourceIP:       true,
			ThrottleRecovery:   30 * time.Second,
			DNSCacheTTL:        time.Minute,
			Breaker:            Breaker{Failures: 5, Recovery: 15 * time.Second},
			PrewarmRate:        10,
		},
		OAuth: OAuth{
			RequestTimeout:     10 * time.Second,
			ConnectTimeout:     5 * time.Second,
			ParallelRefreshes:  25,
			ConnectionsPerHost: 100,
			DefaultLifetime:    time.Hour,
			KeepAlive:          30 * 24 * time.Hour,
			MaxMailboxes:       20000,
		},
		Admin:   Admin{Address: "127.0.0.1:9090"},
		Runtime: Runtime{Scheduling: "batch"},
		Log:     Log{Level: "info", Format: "text", Console: true},
	}
}

// providerDraft is what a section providers.NAME says.
type providerDraft struct {
	limits          accountkeys.Limits
	retry           accountkeys.Retry
	breaker         breakerDraft
	smtpHost        keyfile.Given[string]
	smtpPort        keyfile.Given[int]
	tls             keyfile.Given[account.TLSMode]
	tokenURL, scope keyfile.Given[string]
	consent         consentDraft
	keepAlive       keyfile.Given[time.Duration]
	sendSecret      keyfile.Given[bool]
	refreshMargin   keyfile.Given[time.Duration]
	extensions      keyfile.Given[announced]
	initialResponse keyfile.Given[account.InitialResponse]
}

// consentDraft is how consent is got, and applications go without.
type consentDraft struct {
	authURL, deviceURL, scope, appScope keyfile.Given[string]
}
