// Package consent gets a person's consent, and with it the first refresh token of
// an account: by device code (RFC 8628), or in a browser with PKCE (RFC 6749
// section 4.1, RFC 7636).
//
// # States of a request in a browser
//
//	listening  AuthCode has opened a port of the loopback and made the URL
//	answered   the browser came back to the port with the request's state value:
//	           the first such answer counts, others change nothing
//	finished   Wait, or Exchange with what the person pasted, has exchanged the code
//	closed     Close has ended the listener and waited for it
//
// # States of a request by device code
//
//	asked      the endpoint gave a code, which show has told the person
//	polling    the token endpoint is asked at its interval; slow_down and failures
//	           that pass make the interval longer
//	ended      by a token, a refusal, the expiry of the code or the context
//
// # What is kept
//
// A request that carries a person's consent goes on after the end of the context, is
// sent again after a failure that passes, and as a client of the other kind (public or
// confidential) if the provider says so. A refresh token counts whatever is wrong with
// the rest of its answer.
//
// # Ownership and locks
//
// An [Authorizer] owns its connections, a [Request] its listener: both are closed
// by who made them, the request first. A request's answer crosses from the
// listener's goroutine in a channel of one; there is no lock. No code, verifier or
// token is in an error.
package consent
