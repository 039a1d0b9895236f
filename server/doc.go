// Package server is the client side of the proxy: SMTP submission (RFC 5321,
// RFC 6409) for bulk MTAs, on the event loops of internal/loop.
//
// The server owns its listeners. All loops accept, and each socket is for one of
// them; from then on everything about a session happens on that loop, without
// a goroutine or a lock of its own. Work that would block (fetching a token,
// relaying a message) is handed to the Tokens and Relay given to New; their
// answers come back through the loop's mailbox.
//
// # States
//
// A session is always in exactly one state; rules.go says which command is
// legal where, and enter is the only writer.
//
//	proxyHeader    waiting for a PROXY protocol header
//	detect         waiting whether the client begins with a TLS handshake
//	handshake      TLS handshake under way
//	hello          connected, no EHLO or HELO yet
//	unauth         greeted, not logged in
//	ready          logged in, no transaction
//	mail           MAIL accepted, no recipient yet
//	rcpt           at least one recipient accepted
//	data           receiving DATA content, up to end-of-data
//	bdat           receiving the octets of a BDAT chunk
//	bdatNext       between two BDAT chunks
//	bdatSkip       swallowing the octets of a refused BDAT chunk
//	authPlain      waiting for the PLAIN message
//	authLoginUser  waiting for the LOGIN user name
//	authLoginPass  waiting for the LOGIN password
//	authCRAM       waiting for the response to a CRAM-MD5 challenge
//	awaitPassword  the slow hash of the password is being computed
//	delayed        the refusal of a login is held back
//	awaitToken     login named an account, its access token is being fetched
//	awaitRcpts     recipients were sent on, the upstream has not answered
//	awaitUpstream  content was handed to the relay, no final reply yet
//	skipLine       discarding the rest of an over-long line
//	linger         last reply sent, swallowing input until the client closes
//	closed         the connection is gone
//
// In the await states no further command is read: what the client pipelines
// meanwhile stays in the session's input buffer, up to Config.MaxPipelined.
//
// # End of input
//
// A client may close its sending side (FIN) and read on, in clear and under TLS;
// a close_notify says the same, in TLS 1.2 too, and does not end our side. It is an
// event of its own (ending.go), not the end of the connection. What
// the client has sent until then is carried out and answered, whatever the session
// waits for, and the connection is closed after the last answer. So
//
//   - a message whose end-of-data has come is sent and answered,
//   - one whose content is not complete, by DATA or BDAT, is not sent,
//   - a command without its CRLF is not looked at,
//   - a handshake goes on with what has come.
//
// The exception is a client that gave up. It has not said QUIT, and ends its input
// more than patienceOfClients after end-of-data: input that waits is dropped, and a
// message of which nothing has gone to the provider is not sent, since the client
// will send it again; the answer is 451 4.4.2. If something has gone, the message
// is finished and answered.
//
// Only a reset, a failed write or a timeout means that the client is gone. A message
// that the relay has then goes on, with the same exception, and its outcome is in
// the log. That of a message whose client had closed its side without QUIT is there
// too, as such a client may not read the answer.
//
// After a FIN the loop asks for no more input of the socket, which could be read
// for ever: a session that waits so takes no CPU.
//
// # Time
//
// Timeouts are in ticks of 100 ms, and none comes early. In mode TLSDetect a client
// that says nothing is greeted in clear 1.0 to 1.2 s after it connected.
//
// # What is offered
//
// EHLO names the extensions that the provider of every account has, and CRAM-MD5
// where every password is stored so that it works. What a message asks for is
// checked at MAIL and RCPT against the provider of the account that is logged in.
//
// # Recipients
//
// A single recipient is answered locally, so that a message to it costs one
// round trip upstream; the upstream's answer to RCPT or to the content is then
// the answer to end-of-data. With several recipients the upstream transaction
// is opened and each recipient gets the upstream's own reply: all of them, if
// the client pipelines them, or else from the second one on. In the latter case
// the first one has been told 250; if it turns out to be refused, the others
// get 452 4.5.3 (the client sends them in another transaction) and DATA is
// answered with the first one's refusal. So no recipient is ever told something
// that is not so.
package server
