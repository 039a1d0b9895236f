// Package flow gets access tokens: it has the flows of package oauth, and the
// errors that say why there is no token.
//
// # Flows
//
//	refresh_token       by a refresh token that a person consented to (RFC 6749 section 6)
//	client_credentials  by the client's own secret or certificate (sections 4.4; RFC 7523)
//	service_account     by the key of a Google service account, for one mailbox (RFC 7523)
//	external            from a command or an HTTP endpoint of the operator's
//
// [Flows.Fetch] runs the flow of an account once; [Flows.Ask] and [Flows.AskDevice]
// send the requests of a person's consent. golang.org/x/oauth2 speaks the protocol;
// an exchange sends its requests, and keeps what x/oauth2 does not pass on.
//
// # Answers
//
// The body of an answer counts, not its header: gzip, deflate, a byte order mark
// and white space are undone, and a form becomes a JSON object (answer.go). A field of
// the wrong kind counts as absent and takes no other field with it (fields.go). A
// refresh token that comes without a usable access token is kept, since the
// provider may have made the one before invalid.
//
// # Errors
//
// Every error is an [Error] of one [Class]. The class follows "error" of the
// answer; the numbers of Microsoft choose the hint, and a passing failure when the
// number says so (classify.go). Failures without an answer are classified by
// [Local]. No error holds a secret: remote text is cut, and words that resemble a
// secret of the account are masked (redact.go).
//
// # States, locks, ownership
//
// Flows have no state but connections, and no lock of their own. An exchange
// belongs to the goroutine that made it, for one fetch. An Error is immutable.
// Accounts and grants are borrowed for the call. A token command runs in a
// process group of its own, which is killed when the context ends. Its output counts up
// to its exit, whatever holds the pipe open after that (tap.go).
package flow
