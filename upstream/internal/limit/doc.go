// Package limit counts what an account sends. A provider then never counts more than
// the limit, wherever its own span begins.
//
// A [Window] counts events over a moving span. A [Meter] has the windows of one
// account: messages in a minute, an hour and a day, and recipients in a day. A
// message takes a place in the meter when it gets a connection. With its outcome it
// counts if the provider accepted it or may have; else the place is free again.
//
// One goroutine at a time may use a window or a meter. Only Meter.TakeRecipient may be
// called on any other.
package limit
