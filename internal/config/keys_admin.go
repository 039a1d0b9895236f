package config

import (
	"net/netip"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/server"
)

// readMessageLog reads which outcomes of messages are logged.
func readMessageLog(v *keyfile.Value) (server.MessageLog, bool) {
	word, ok := keyfile.OneOf(nil, "all", "failed", "none")(v)
	return server.MessageLog(word), ok
}

// adminKeys are admin, log, runtime and state_dir, which the predecessor did not have.
var adminKeys = []keyfile.Key[draft]{
	keyfile.Set("admin.address", keyfile.Checked(checkListenAddress), func(d *draft) *netip.AddrPort { return &d.adminAddress },
		`address of metrics, health and the admin API; default "127.0.0.1:9090"; beyond loopback with a token only`),
	keyfile.Set("admin.socket", keyfile.Checked(checkSocketPath), func(d *draft) *string { return &d.settings.Admin.Socket },
		`absolute path of the admin socket, which takes changes without a token, from root and the proxy's own user; commands for a running proxy use it; default: admin.sock in $RUNTIME_DIRECTORY, else in state_dir, else beside accounts.json`),
	keyfile.Secret(keyfile.Set("admin.token", keyfile.CheckedSecret(checkAdminToken), func(d *draft) *account.Secret { return &d.settings.Admin.Token },
		`bearer token of the admin API and of profiles, at least 16 characters; default none, and then admin.address serves no changes; metrics and health ask for none`)),
	keyfile.Set("admin.token_file", keyfile.Checked(readAdminToken), func(d *draft) *account.Secret { return &d.settings.Admin.Token },
		"file that has the token instead, as its first line; a reload reads it again; default none"),
	keyfile.Set("admin.hosts", keyfile.List, func(d *draft) *[]string { return &d.settings.Admin.Hosts },
		"names under which admin.address is reached, beside localhost and loopback addresses; without a token, requests for another host are refused; metrics and health are served for any; default none"),
	keyfile.Set("admin.account_metrics", keyfile.Boolean, func(d *draft) *bool { return &d.settings.Admin.AccountMetrics },
		"serves metrics of each account under /metrics/accounts, at most 10000 on one page; it names accounts, and needs the token if one is set; default false"),
	keyfile.Set("admin.pprof", keyfile.Boolean, func(d *draft) *bool { return &d.settings.Admin.Pprof },
		"serves Go profiles under /debug/pprof/; default false; on loopback only"),

	keyfile.Set("log.level", keyfile.OneOf(levels, "debug", "info", "warn", "error"), func(d *draft) *string { return &d.settings.Log.Level },
		`least level that is logged: "debug", "info", "warn" or "error"; default "info"`),
	keyfile.Set("log.format", keyfile.OneOf(nil, "text", "json"), func(d *draft) *string { return &d.settings.Log.Format },
		`"text" or "json"; default "text"`),
	keyfile.Set("log.file", keyfile.Text, func(d *draft) *string { return &d.settings.Log.File },
		"file to log to, which is appended to; default none"),
	keyfile.Set("log.console", keyfile.Boolean, func(d *draft) *bool { return &d.settings.Log.Console },
		"logs to standard error; default true"),
	keyfile.Set("log.messages", readMessageLog, func(d *draft) *server.MessageLog { return &d.settings.Server.LogMessages },
		`which messages of clients get a line at level "info" with their outcome: "all", "failed" (those that were not accepted) or "none"; default "failed"`),

	keyfile.Set("runtime.gomaxprocs", keyfile.Whole(0, 4096), func(d *draft) *int { return &d.settings.Runtime.GOMAXPROCS },
		"threads that run Go code at a time; default 0: one more than there are CPUs or loops, or what the environment variable GOMAXPROCS says"),
	keyfile.Set("runtime.gogc", keyfile.Whole(0, 10000), func(d *draft) *int { return &d.settings.Runtime.GOGC },
		"percentage by which the heap grows before garbage is collected; default 0: 10, or what the environment variable GOGC says"),
	keyfile.Set("runtime.gomemlimit", keyfile.Size(0, 1<<50), func(d *draft) *int64 { return &d.settings.Runtime.GOMEMLIMIT },
		`memory, such as "2GiB", at which garbage is collected harder; default 0: none, or what GOMEMLIMIT says; content_budget plus 256 MiB plus 50 KiB for each TLS client is enough`),
	keyfile.Set("runtime.scheduling", keyfile.OneOf(nil, "batch", "normal"), func(d *draft) *string { return &d.settings.Runtime.Scheduling },
		`how Linux schedules the threads: as "batch" they do not interrupt others when they are woken, which saves CPU under load, or "normal"; default "batch"; a policy that the proxy was started with, other than the normal one, stays`),

	keyfile.Set("state_dir", keyfile.Text, func(d *draft) *string { return &d.settings.StateDir },
		"directory for what accounts have sent in the last 24 hours, so that limits of a day hold over restarts, and for which accounts operators have paused or drained; default none: the former is kept in memory only, the latter beside oauth.token_store if that is set"),
}
