// Package fault has the fault scripts of the sandbox: rules that make any phase
// of a session fail in any way, with counters.
//
// A [Rule] names a phase, an action and what it matches. A server describes each
// moment as an [Event] and asks the [Script] for the rule that strikes. The script
// only counts and chooses; the servers carry the action out. A Script is replaced
// whole, while sessions run.
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
package fault
