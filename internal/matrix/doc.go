// Package matrix has the tests of the whole stack under faults: the server, the
// relay and the token manager, over sockets, against the sandbox as provider.
// It has no code of its own outside its tests.
//
// Each case of the matrix has a stack of its own, one fault, one client, and the same
// questions. What was the client told? How often did the message arrive? Is every
// connection, counter and octet given back? Does the next message of the account go
// through, and a message of its neighbour?
package matrix
