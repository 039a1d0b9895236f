// Package limit counts what an account sends, so that a provider never counts more
// than its limit, wherever the provider's own span begins.
//
// A [Window] counts events over a moving span. A [Meter] has the windows of one
// account: messages in a minute, an hour and a day, and recipients in a day. A
// message takes its place in the meter when it is given a connection, and is settled
// with its outcome: it counts from then on if the provider accepted it or may have,
// else the place is given back.
//
// A window or a meter belongs to the one goroutine that handles its account, but for
// Meter.TakeRecipient, which is safe for concurrent use.
package limit
