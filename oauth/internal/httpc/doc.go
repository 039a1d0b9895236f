// Package httpc sends the requests of package oauth: a [Transport] is an
// http.RoundTripper over connections of fasthttp, for token endpoints.
//
// # Connections
//
// A host is a scheme, a host name and a port, reached by one [Route]. Each host
// has its own connections: what one route trusts or passes, another must not use.
//
//	connecting  TCP, CONNECT to the proxy of the route, TLS
//	busy        holds a slot of its host; carries one request and its reply
//	parked      kept for the next request to the host, until Config.IdleTimeout
//	            after the last request to any host
//	closed      after an error, or after a reply that ends the connection
//
// A request waits for a slot, never for a connection: there are as many slots as
// connections.
//
// # What is refused
//
// A request in the clear goes to the loopback only, and no redirect is followed.
// A request is repeated once, if a parked connection turns out to have been
// closed before any octet of the reply.
//
// # Locks and ownership
//
// Transport.mu guards the set of hosts; it is not held during I/O. A request owns
// its connection from the slot to the end of RoundTrip. The bodies of replies are
// copies. [Transport.Close] closes the parked connections; no request may be running.
package httpc
