// Package failure has what went wrong with a message or a login, and what the client is
// told of it.
//
// An [Error] names the phase, the provider's reply and the cause. throttle.Judge tells
// what the reply means beyond the message. [ClientReply] makes the reply for the client:
// from MAIL on the provider's own, before it one of ours, which is 4yz.
package failure
