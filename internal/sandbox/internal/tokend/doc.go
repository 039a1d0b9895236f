// Package tokend is the sandbox's OAuth2 server: the token endpoint, the device
// authorization endpoint and the authorization endpoint, with the grants that they
// give.
//
// It answers like Google or like Microsoft, as the client's provider says. Grants
// are refresh tokens of mailboxes, client credentials and signed assertions of
// registered clients ([Client]), and consents by browser or device code. Tokens
// live in memory; each mailbox has a chain of them.
//
// The HTTP listener is also the API's: paths that do not belong to OAuth2 go to
// a handler of the caller.
package tokend
