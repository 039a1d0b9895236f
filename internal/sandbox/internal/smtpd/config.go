package smtpd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Endpoint is one SMTP submission server.
type Endpoint struct {
	// Name identifies it to accounts and Server.Addr. Default: the preset.
	Name string `json:"name"`
	// Preset is "gmail", "outlook" or "plain": EHLO keywords, reply texts and
	// limits. "plain" offers SIZE, 8BITMIME and AUTH XOAUTH2 only.
	Preset string `json:"preset"`
	// StartTLS and TLS are the listen addresses of the STARTTLS and of the
	// implicit TLS port; "-" opens none. Default: "127.0.0.1:0", a free port.
	StartTLS string `json:"starttls"`
	TLS      string `json:"tls"`
	// Keywords replace the EHLO keywords of the preset, given as after TLS
	// ("SIZE 1000", "AUTH XOAUTH2"); in clear, AUTH gives way to STARTTLS.
	Keywords []string `json:"keywords"`
	// Refuse has the replies to verbs that are refused although they are offered
	// ("BDAT": "502 5.5.1 Not implemented"); with "" a verb is never answered. After
	// a reply of 500, 502 or 504 to BDAT its content is read as commands, since the
	// server does not know the verb; after any other reply it is read and forgotten.
	Refuse map[string]string `json:"refuse"`
	// Replies replace the preset's replies beyond a limit, by the name of the limit
	// ("command_line": "500 5.5.2 Line too long"). Two names are no limit: "size",
	// of a message, and "token", of a login that is refused.
	Replies map[string]string `json:"replies"`
	// Limits replace those limits of the preset that are not 0.
	Limits mailbox.Limits `json:"limits"`
	// TLSVersion is "1.2" or "1.3" to allow only that one. Default: both.
	TLSVersion string `json:"tls_version"`
	// InClear has the STARTTLS port do without TLS and without tokens, which no
	// provider does: AUTH PLAIN with any password opens the mailboxes of the
	// endpoint. It is for measuring a load without the proxy. All else is as strict
	// as ever.
	InClear bool `json:"in_clear"`
}

// WithDefaults returns e with its defaults filled in.
func (e Endpoint) WithDefaults() Endpoint {
	const anyPort = "127.0.0.1:0"
	e.Preset = cmp.Or(e.Preset, Plain)
	e.Name = cmp.Or(e.Name, e.Preset)
	e.StartTLS = cmp.Or(e.StartTLS, anyPort)
	e.TLS = cmp.Or(e.TLS, anyPort)
	return e
}

// CheckReplies reports what is wrong with Refuse and Replies.
func (e *Endpoint) CheckReplies() (errs []error) {
	negative := func(reply string) bool { return fault.ReplyCode(reply) >= 400 && fault.ReplyCode(reply) <= 599 }
	for verb, reply := range e.Refuse {
		if !slices.Contains(fault.Verbs, verb) {
			errs = append(errs, fmt.Errorf("refuse: %q is none of %s", verb, strings.Join(fault.Verbs, ", ")))
		}
		if reply != "" && !negative(reply) {
			errs = append(errs, fmt.Errorf("refuse.%s: %q is no refusal", verb, reply))
		}
	}
	for name, reply := range e.Replies {
		if names := slices.Sorted(maps.Keys(presets[mailbox.Gmail].replies)); !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("replies: %q is none of %s", name, strings.Join(names, ", ")))
		}
		if !negative(reply) {
			errs = append(errs, fmt.Errorf("replies.%s: %q is no refusal", name, reply))
		}
	}
	return errs
}

// Latency delays replies without blocking other connections: the session goes
// on reading, as a distant server would, so pipelined transactions overlap.
type Latency struct {
	// RoundTrip is added to each group of replies, as a distance would.
	RoundTrip wait.Duration `json:"round_trip"`
	// Final is added to the reply to the end of data.
	Final wait.Duration `json:"final"`
	// Commands is added to the replies of these verbs ("MAIL").
	Commands map[string]wait.Duration `json:"commands"`
}
