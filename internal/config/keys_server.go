package config

import (
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// maxSession only catches wrong units, as maxTimeout does.
const maxSession = 30 * 24 * time.Hour

// count reads a number of at least one; the upper bound only catches mistakes.
var count = keyfile.Whole(1, 10_000_000)

// levels are the predecessor's names of log levels that differ from ours.
var levels = map[string]string{"warning": "warn", "critical": "error", "fatal": "error"}

// readBareNewlines reports whether bare CRs and LFs are to be normalised.
func readBareNewlines(v *keyfile.Value) (normalise, ok bool) {
	word, ok := keyfile.OneOf(nil, "refuse", "normalise")(v)
	return word == "normalise", ok
}

// serverKeys are the sections listeners and server, which the predecessor did not
// have.
var serverKeys = []keyfile.Key[draft]{
	{Path: "listeners", Container: true, Set: (*draft).readListeners,
		Doc: `array of objects, each an address to listen on; default: one, "127.0.0.1:2525"`},

	keyfile.Set("server.hostname", keyfile.Checked(accountkeys.CheckHost), func(d *draft) *string { return &d.settings.Server.Hostname },
		`name in the greeting and in the EHLO reply; default "xoauth2-proxy"`),
	keyfile.Set("server.loops", keyfile.Whole(0, 256), func(d *draft) *int { return &d.settings.Server.Loops },
		"number of event loops; default 0: one for each CPU"),
	keyfile.Set("server.pin", keyfile.Checked(checkPin), func(d *draft) *string { return &d.settings.Server.Pin },
		`binds each event loop to a CPU: "off", "auto" (on from 4 CPUs up) or a list such as "0,2"; default "off", since a pinned loop cannot leave a busy CPU`),
	keyfile.Set("server.max_connections", count, func(d *draft) *int { return &d.settings.Server.MaxConnections },
		"client connections in all, more are greeted with 421; default 20000; LimitNOFILE must be above it plus the upstream connections"),
	keyfile.Set("server.max_message_size", keyfile.Size(1, accountkeys.MaxContent), func(d *draft) *int64 { return &d.settings.Server.MaxMessageSize },
		`octets of content, announced as SIZE, more get 552; default "35MiB", just above what Gmail takes`),
	keyfile.Set("server.max_recipients", keyfile.Whole(100, 100_000), func(d *draft) *int { return &d.settings.Server.MaxRecipients },
		"recipients of one message, more get 452; default 1000; RFC 5321 asks for at least 100; the provider's own limit applies besides"),
	keyfile.Set("server.max_errors", count, func(d *draft) *int { return &d.settings.Server.MaxErrors },
		"refused commands after which a session ends with 421; a message that is accepted sets the count to 0, and the malformed recipients of a message count as one; default 20"),
	keyfile.Set("server.max_pipelined", keyfile.Whole(4096, 16<<20), func(d *draft) *int { return &d.settings.Server.MaxPipelined },
		"octets that a client may send ahead while it waits for a reply, more end the session with 421; default 65536"),
	keyfile.Set("server.content_budget", keyfile.Size(1<<20, 1<<50), func(d *draft) *int64 { return &d.settings.Server.ContentBudget },
		`memory for the content of all messages in flight; from 80 % on new messages get 452, and from half on an account has at most an eighth, or one message of the largest size; default "1GiB"; at least max_message_size`),
	keyfile.Set("server.greeting_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Server.GreetingTimeout },
		`wait for a client's first command; default "5m", the least of RFC 5321`),
	keyfile.Set("server.command_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Server.CommandTimeout },
		`wait for each later command; default "5m", the least of RFC 5321`),
	keyfile.Set("server.content_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Server.ContentTimeout },
		`wait for each piece of content; default "3m", the least of RFC 5321; content that comes at less than 1 KiB a second for a minute ends the session in any case`),
	keyfile.Set("server.idle_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Server.IdleTimeout },
		`how long a client that is logged in may do nothing between messages; default "5m", the least of RFC 5321`),
	keyfile.Set("server.session_timeout", keyfile.Duration(accountkeys.MinTimeout, maxSession), func(d *draft) *time.Duration { return &d.settings.Server.SessionTimeout },
		`age at which a session ends with 421; a message that is under way may still be finished; default "24h"`),
	keyfile.Set("server.bare_newlines", readBareNewlines, func(d *draft) *bool { return &d.settings.Server.NormaliseNewlines },
		`what becomes of content with a CR or LF that stands alone, unless it is BINARYMIME: "refuse" (554) or "normalise" (CRLF instead, so that the content is not what the client sent; and an LF alone ends a command line, which is else refused with 500); default "refuse"`),
	keyfile.Set("server.cert_file", keyfile.Text, func(d *draft) *string { return &d.settings.Server.CertFile },
		"PEM file of the certificate chain for listeners with TLS, read again when it changes; default none"),
	keyfile.Set("server.key_file", keyfile.Text, func(d *draft) *string { return &d.settings.Server.KeyFile },
		"PEM file of the key of server.cert_file; default none"),
	keyfile.Secret(keyfile.Set("server.shared_password", accountkeys.ClientPassword, func(d *draft) *account.Secret { return &d.settings.Server.SharedPassword },
		`password of all accounts on listeners with passwords "shared": an argon2id or bcrypt hash, or plain text, which CRAM-MD5 needs; default none`)),
	keyfile.Set("server.shutdown_delay", keyfile.Duration(0, accountkeys.MaxTimeout), func(d *draft) *time.Duration { return &d.settings.Server.ShutdownDelay },
		`time after SIGTERM in which /ready is 503 and new connections are still taken, for a load balancer to see it; default "0s"; keep TimeoutStopSec of the service above it and server.drain_timeout together`),
	keyfile.Set("server.evict_over", keyfile.Duration(0, accountkeys.MaxTimeout), func(d *draft) *time.Duration { return &d.settings.Server.EvictOver },
		`time after an upgrade over which the old process ends its sessions, each between two messages; until it has passed, "upgrade --back" returns to that process, and it goes on by itself if the new one ends; default "30s"`),
	keyfile.Set("server.drain_timeout", keyfile.Duration(0, accountkeys.MaxTimeout), func(d *draft) *time.Duration { return &d.settings.Server.DrainTimeout },
		`time for running messages to finish after SIGTERM; default "30s"; keep TimeoutStopSec of the service above it`),
}
