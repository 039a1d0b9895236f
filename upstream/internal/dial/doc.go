// Package dial reaches providers: it looks their addresses up, connects to one of
// them, and has the TLS configuration that verifies them.
//
// # Addresses
//
// The addresses of a host are remembered for Config.CacheTTL. When a look-up fails
// or takes long after that, the addresses of before are used on, for a day at most
// (RFC 8767). Look-ups of one name at the same time are one.
//
// # Connecting
//
// The addresses of a host are tried as RFC 8305 (happy eyeballs) says: the families
// take turns, and the next address is tried beside one that does not answer in 250
// ms. An account with a source address connects from that address or not at all.
//
// # Locks
//
// resolver.mu guards the known addresses; nothing is called while it is held.
package dial
