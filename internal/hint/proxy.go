package hint

// howLimit says where limits stand.
const howLimit = "providers.NAME.rate_limiting in config.json, or rate_limiting of the account. `GET /admin/accounts/EMAIL` shows how much is used."

var proxyEntries = map[ID]entry{
	LoginDeferred: {"login-deferred", "too many logins wait for a password to be checked", "nothing to do: the client tries again; if it repeats, have clients keep their connections",
		"A hash of a password costs CPU time on purpose: client connections that stay open log in once."},
	MemoryUsedUp: {"memory-used-up", "the memory for content of messages, or this account's share of it, is used up", "wait for messages to leave; if it repeats, raise server.content_budget, or have clients send fewer messages at one time",
		"The metrics smtp_content_budget_used_bytes and smtp_content_budget_limit_bytes."},
	TooManyConnections: {"too-many-connections", "the proxy, the listener or the client's address has as many connections as it may have, or the process is out of file descriptors",
		"have clients open fewer connections, or raise the bound",
		"server.max_connections, listeners[].max_connections and listeners[].max_per_source; LimitNOFILE= in the systemd unit."},
	LocalError:   {"local-error", "the proxy met an error of its own", "look into the log at the time of the reply; the client keeps the message", ""},
	ProxyStuck:   {"proxy-stuck", "the part of the proxy that handles this account does not come back", "restart the proxy, and report the lines of the log that say where it is stuck", "`systemctl restart xoauth2-proxy`"},
	ShuttingDown: {"shutting-down", "the proxy is shutting down", "nothing to do: the client tries again", ""},
	AccountRemoved: {"account-removed", "a reload has removed the account of this session", "put the account back, or have the client use another one",
		"`xoauth2-proxy accounts list`"},
	AccountPaused: {"account-paused", "an operator has paused or drained the account", "resume the account when it may send again",
		"`curl --unix-socket /run/xoauth2-proxy/admin.sock -X POST http://localhost/admin/accounts/EMAIL/resume`"},
	AccountEntryWrong: {"account-entry-wrong", "the account's entry in the accounts file is wrong and was left out", "correct the entry, then reload",
		"`xoauth2-proxy check` names file, line and key; `/ready` names the account."},
	AccountBusy: {"account-busy", "all connections that the account may have were busy for the whole of upstream.acquire_timeout",
		"have the client open fewer connections for this account; raise its connections only within the provider's limit",
		"providers.NAME.max_concurrent_messages and connection_pool.max_connections_per_account."},
	QueueFull: {"queue-full", "too many messages wait for a connection", "have the client send fewer messages at one time", "upstream.queue_size."},
	TransactionExpired: {"transaction-expired", "the client took so long that the transaction at the provider ended", "have the client send its content sooner after RCPT",
		"upstream.transaction_timeout."},
	LimitMessagesPerMinute: {"limit-messages-per-minute", "the account has sent as many messages in a minute as its limit allows", "nothing to do: the client tries again; the reply says when", howLimit},
	LimitMessagesPerHour:   {"limit-messages-per-hour", "the account has sent as many messages in an hour as its limit allows", "nothing to do: the client tries again; the reply says when", howLimit},
	LimitMessagesPerDay:    {"limit-messages-per-day", "the account has sent as many messages in 24 hours as its limit allows", "send less through this account; the reply says when a place is free", howLimit},
	LimitRecipientsPerDay:  {"limit-recipients-per-day", "the account has sent to as many recipients in 24 hours as its limit allows", "send less through this account; the reply says when a place is free", howLimit},
	LimitLoginsPerMinute:   {"limit-logins-per-minute", "the account has logged in at the provider as often in a minute as its limit allows", "nothing to do: the client tries again; the reply says when", howLimit},
	AccountHeld: {"account-held", "the provider has refused the account itself, and its mail is held until it does so no longer",
		"remove the cause that the quoted refusal names, then resume the account",
		"`GET /admin/accounts/EMAIL` shows the refusal and the next probe.\n`curl --unix-socket /run/xoauth2-proxy/admin.sock -X POST http://localhost/admin/accounts/EMAIL/resume`"},
	AccountQuota:     {"account-quota", "the provider has said that the account's quota of the day is used up", "nothing to do: the account is tried again after an hour, then at longer intervals; send less through it", howLimit},
	AccountThrottled: {"account-throttled", "the provider has asked for less, and the account pauses for a short time", "nothing to do; if it repeats, lower the connections, logins and messages a minute of the account", howLimit},
}
