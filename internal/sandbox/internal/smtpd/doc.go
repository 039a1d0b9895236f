// Package smtpd is the SMTP submission server of the sandbox: TLS, XOAUTH2, and a
// parser of its own that notes every breach of protocol.
//
// [Server] has the listeners: one STARTTLS and one implicit TLS port for each
// [Endpoint]. A session is one connection, and a goroutine of its own. Its states
// are greeted, TLS, authenticated, transaction open, content; a command out of
// order is refused as the provider would refuse it.
//
// # Strictness
//
// What the providers document is on by default; all else is a switch.
//
//   - Lines: preset gmail answers 555 5.5.2 to a command line above 1,000 octets,
//     AUTH with an initial response included ([mailbox.Limits].CommandLine, in
//     force with limits off too). A response after a 334 may have 12,288 octets
//     with every preset.
//   - Limits of a mailbox, a connection and a message: [mailbox.Limits]. Their
//     replies, and the reply to a bad token, are [Endpoint].Replies.
//   - Verbs that are announced and refused, or never answered: [Endpoint].Refuse,
//     or a rule of phase "command" with a verb.
//
// The package does not use codec, which the proxy parses with: it judges what the
// proxy sends, so that a fault of codec must not be its own too.
package smtpd
