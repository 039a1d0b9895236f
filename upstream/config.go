package upstream

import (
	"xoauth2-proxy/upstream/internal/settings"
	"xoauth2-proxy/upstream/internal/tenant"
)

type (
	// Tenant is what is configured of an organization at a provider.
	Tenant = tenant.Config
	// Tenants are all of them.
	Tenants = tenant.Set
)

// Config is what the relay needs to know apart from the accounts, whose own
// limits are in account.Limits.
type Config = settings.Config

// DefaultConfig returns the defaults given at each field.
func DefaultConfig() Config { return settings.Default() }

// BreakerConfig is when an endpoint is taken for dead.
type BreakerConfig = settings.BreakerConfig

// QuotaStore keeps the counts of the day over restarts.
type QuotaStore = settings.QuotaStore

// CheckEhloName returns the name, or an error if it can be no Config.EhloName.
func CheckEhloName(name string) (string, error) { return settings.CheckEhloName(name) }
