package config

import (
	"net/netip"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// draft is config.json while it is read: the settings that are final at once, and
// values that are settled after the whole file is read.
type draft struct {
	settings        Settings
	keys            *seal.Keyring // in the place of a key file that does not exist, or nil
	adminAddress    netip.AddrPort
	listeners       []server.Listener
	listenerNodes   []*keyfile.Value // of listeners
	acquire, margin keyfile.Given[time.Duration]
	providers       map[string]*providerDraft
}

func newDraft() *draft { return draftOf(defaults()) }

// draftOf returns a draft whose settings are s.
func draftOf(s Settings) *draft {
	return &draft{settings: s, adminAddress: netip.MustParseAddrPort(s.Admin.Address)}
}

// defaults has the default of every setting but listeners and providers.
func defaults() Settings {
	return Settings{
		Server:     Server{Config: server.DefaultConfig(), EvictOver: 30 * time.Second, DrainTimeout: 30 * time.Second},
		Upstream:   Upstream{Config: upstream.DefaultConfig(), BindSourceIP: true, OnLoops: true},
		OAuth:      OAuth{Config: oauth.DefaultConfig()},
		Admin:      Admin{Config: admin.DefaultConfig()},
		Accounting: accounting.DefaultConfig(),
		Runtime:    Runtime{Scheduling: "batch"},
		Log:        Log{Level: "info", Format: "text", Console: true},
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
	secretExpires   keyfile.Given[time.Time]
	sendSecret      keyfile.Given[bool]
	clientAuth      keyfile.Given[account.ClientAuth]
	refreshMargin   keyfile.Given[time.Duration]
	extensions      keyfile.Given[announced]
	initialResponse keyfile.Given[account.InitialResponse]
	avoid           keyfile.Given[account.Keywords]
}

// consentDraft is how a person consents, and which scope applications have.
type consentDraft struct {
	authURL, deviceURL, scope, appScope keyfile.Given[string]
}
