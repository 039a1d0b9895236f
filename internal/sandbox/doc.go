// Package sandbox is a mail provider on loopback: SMTP submission with TLS and
// XOAUTH2, and the OAuth2 token endpoint that goes with it. It behaves like
// Gmail or Microsoft 365 as far as a relay can tell (EHLO keywords, replies,
// limits, refusals), and it is the oracle of the tests: it parses strictly and
// on its own, keeps what it accepted, counts what it saw, and notes every
// breach of protocol (see [Stats].Violations).
//
// # Parts
//
//   - [Server] owns the listeners: one STARTTLS and one implicit TLS port for
//     each [Endpoint], and one HTTP port for the token endpoint and the API.
//   - session is one SMTP connection, a goroutine of its own. Its states are
//     greeted, TLS, authenticated, transaction open, content; a command out of
//     order is refused as the provider would.
//   - mailbox is one account: its refresh and access tokens, live sessions,
//     counters and limits.
//   - the store keeps accepted messages: in memory, in a directory, or only
//     counted, for load runs (see [StoreConfig]).
//   - fault scripts ([Rule]) make any phase fail in any way, with counters.
//
// # Strictness
//
// What the providers document is on by default; all else is a switch.
//
//   - Lines: preset gmail answers 555 5.5.2 to a command line above 1,000 octets,
//     AUTH with an initial response included ([Limits].CommandLine, in force with
//     limits off too). A response after a 334 may have 12,288 octets anywhere.
//   - Limits of a mailbox, a connection and a message: [Limits]. Their replies,
//     and the words to a bad token, are [Endpoint].Replies.
//   - Verbs that are announced and refused, or never answered: [Endpoint].Refuse,
//     or a rule of phase "command" with a verb.
//
// Fault scripts reach every phase:
//
//	{"phase": "rcpt", "action": "reply", "reply": "450 4.2.1 later"}
//	{"phase": "mail", "action": "reply", "reply": "452 4.4.5 enough", "per": "connection", "since": 11}
//	{"phase": "command", "verb": "BDAT", "action": "reply", "reply": "502 5.5.1 not implemented"}
//	{"phase": "command", "verb": "BDAT", "action": "ignore"}
//	{"phase": "banner", "action": "pass", "then": "reset"}
//	{"phase": "auth", "action": "reply", "reply": "535 5.7.8 no", "then": "cut"}
//	{"phase": "token", "action": "alter", "headers": {"Content-Type": ""}, "bom": true, "gzip": true}
//	{"phase": "token", "action": "alter", "fields": {"expires_in": "3599"}, "drop": ["scope"]}
//	{"phase": "token", "action": "reply", "status": 200, "error": "invalid_grant"}
//
// # Locks
//
// Server.mu guards the tables of connections and accounts, grants.mu the
// tokens, consents.mu the requests for consent, mailbox.mu one account,
// store.mu the messages, ruleSet.mu the counters of a script. None is held
// during I/O, and none is taken while another is held.
//
// Stalls ask the system whether the client has gone, which ties the package to
// Linux.
//
// # HTTP API
//
//	POST   /token              token endpoint (RFC 6749; RFC 7523, RFC 7636, RFC 8628)
//	POST   /devicecode         device authorization endpoint (RFC 8628 section 3.1)
//	GET    /authorize          authorization endpoint (RFC 6749 section 3.1)
//	GET    /consent            what waits for consent; ?id= and ?account= give it
//	GET    /messages           list of envelopes; ?account= and ?after=ID narrow it
//	GET    /messages/{id}      one envelope
//	GET    /messages/{id}/raw  its content, byte for byte
//	DELETE /messages           forget all
//	GET    /loads              deliveries by load run (see LoadStats)
//	GET    /loads/{run}        delivered numbers of one run, as ranges
//	GET    /stats              counters
//	GET    /accounts           accounts with their counters, without secrets
//	GET    /faults             rules with their counters
//	POST   /faults             replace the fault script by a JSON list of rules
//	DELETE /faults             remove it
//	GET    /commands           newest commands, if Config.Record is set
//	PUT    /latency            change the reply delays
package sandbox
