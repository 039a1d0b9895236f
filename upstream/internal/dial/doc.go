// Package dial reaches providers: it looks up the addresses of a host, connects to
// one of them, and has the TLS configuration that verifies the host.
//
// # Addresses
//
// The addresses of a host are remembered for Config.CacheTTL. If a later look-up fails
// or takes long, the old addresses are used, for a day at most (RFC 8767). Concurrent
// look-ups of one name are one.
//
// # Connecting
//
// The addresses of a host are tried as RFC 8305 (happy eyeballs) says: the families
// take turns, and when an address does not answer within 250 ms, the next one is
// tried beside it. An account with a source address connects from that address or
// not at all. What a person must change on this host, and no provider can, is a RouteError:
// it has the reason and the remedy.
//
// # Locks
//
// resolver.mu guards the known addresses. No function is called under it.
package dial
