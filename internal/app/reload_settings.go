package app

import "xoauth2-proxy/internal/config"

// reloadable has a function for each setting that a reload puts in force: it copies
// the setting. The limits and presets of providers are in the accounts already.
var reloadable = []func(running, read *config.Settings){
	func(running, read *config.Settings) { running.Log.Level = read.Log.Level },
	func(running, read *config.Settings) { running.Admin.Token = read.Admin.Token },
	func(running, read *config.Settings) { running.Secrets = read.Secrets },
	func(running, read *config.Settings) { running.Providers = read.Providers },
	func(running, read *config.Settings) { running.Upstream.BindSourceIP = read.Upstream.BindSourceIP },
	func(running, read *config.Settings) { running.Upstream.IPv6 = read.Upstream.IPv6 },
	func(running, read *config.Settings) { running.Upstream.Tenants = read.Upstream.Tenants },
}
