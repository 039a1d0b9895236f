// Package server is the client side of the proxy: SMTP submission (RFC 5321,
// RFC 6409) for bulk MTAs, on the event loops of internal/loop.
//
// The server owns its listeners. All loops accept. One loop serves a session from accept
// to close, without a goroutine or a lock of its own. Work that would block (fetching a
// token, relaying a message) is handed to the Tokens and the Relay given to New. Their
// answers come back to the session's loop.
//
// # States
//
// A session is always in exactly one state. rules.go says which command is legal in which
// state. enter is the only writer.
//
//	proxyHeader    waiting for a PROXY protocol header
//	detect         waiting for a TLS handshake, before the greeting in clear
//	handshake      TLS handshake under way
//	hello          connected, no EHLO or HELO yet
//	unauth         greeted, not logged in
//	ready          logged in, no transaction
//	mail           MAIL accepted, no recipient yet
//	rcpt           at least one recipient accepted
//	data           receiving DATA content, up to end-of-data
//	bdat           receiving the octets of a BDAT chunk
//	bdatNext       between two BDAT chunks
//	bdatSkip       discarding the octets of a refused BDAT chunk
//	authPlain      waiting for the PLAIN message
//	authLoginUser  waiting for the LOGIN user name
//	authLoginPass  waiting for the LOGIN password
//	authCRAM       waiting for the response to a CRAM-MD5 challenge
//	awaitPassword  the check of the password waits: for its slow hash, or for other checks
//	delayed        the refusal of a login waits for its delay to end
//	awaitToken     login named an account, its access token is being fetched
//	awaitRcpts     the relay has the recipients, no replies to them yet
//	awaitUpstream  the relay has the content, no final reply yet
//	skipLine       discarding the rest of a refused line
//	linger         last reply sent, discarding input until the client closes
//	closed         the connection is gone
//
// In the await states and in delayed no command is read: what the client pipelines stays
// in the session's input buffer, up to Config.MaxPipelined. Then the session stops reading.
//
// # End of input
//
// A client may close its sending side (FIN) and read on, in clear and under TLS. A
// close_notify means the same, in TLS 1.2 too, and does not end our side. The end of input
// is an event of its own (ending.go), not the end of the connection. The commands that
// came before it are carried out and answered, whatever the session waits for, and the
// connection is closed after the last reply. So
//
//   - a message whose end-of-data has come is sent and answered,
//   - one whose content is not complete, by DATA or BDAT, is not sent,
//   - a command without its CRLF is ignored,
//   - a handshake goes on with the octets that have come.
//
// The exception is a client that gave up: it has not sent QUIT, and ends its input more
// than patienceOfClients after end-of-data. Its waiting input is dropped. Its message is
// answered 451 4.4.2 and not sent, if nothing of it has gone to the provider, since the
// client will send it again. If something has gone, the message is finished and answered.
//
// Only a reset, a failed write or a timeout means that the client is gone. A message that
// the relay has then goes on, with the same exception, and its outcome is logged. The
// outcome is also logged if the client had closed its side without QUIT, since it may not
// read the reply.
//
// After a FIN the loop asks epoll for no more input of the socket, which would be readable
// for ever: such a session takes no CPU while it waits.
//
// # Time
//
// Timeouts are in ticks of 100 ms, and none comes early. In mode TLSDetect a client
// that sends nothing is greeted in clear 1.0 to 1.2 s after it connected.
//
// # Extensions
//
// EHLO lists the extensions that the provider of every account has, and CRAM-MD5 if every
// password is stored recoverably. MAIL and RCPT check their parameters against the
// provider of the account that is logged in.
//
// # Recipients
//
// The server answers a single recipient itself, so that a message to it costs one round
// trip upstream. The provider's reply to RCPT or to the content is then the reply to
// end-of-data.
//
// With several recipients the relay opens the transaction at the provider, and each
// recipient gets the provider's own reply: all of them if the client pipelines them, else
// from the second one on. In the latter case the first one has been told 250. If the
// provider refuses it, the others get 452 4.5.3 (the client sends them in another
// transaction), and DATA is answered with the first one's refusal. So no recipient is
// ever told a lie.
package server
