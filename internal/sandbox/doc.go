// Package sandbox is a mail provider on loopback: SMTP submission with TLS and
// XOAUTH2, and the OAuth2 token endpoint that goes with it. A relay cannot tell it
// from Gmail or Microsoft 365 by EHLO keywords, replies, limits or refusals. It is
// the oracle of the tests: it parses strictly and on its own, keeps what it
// accepted, counts what it saw, and notes every breach of protocol (see
// [Stats].Violations).
//
// # Rooms
//
// This package reads the configuration, assembles the rooms below, serves the HTTP
// API and writes the files for a proxy. A [Server] has the methods of its rooms.
//
//	internal/smtpd    the SMTP server: sessions, presets, replies
//	internal/tokend   the OAuth2 endpoints and the grants
//	internal/fault    fault scripts: rules, and which of them strikes
//	internal/store    accepted messages, and the accounts of load runs
//	internal/mailbox  accounts with their counters and limits
//	internal/wait     what the rooms wait for: state, connections, a peer
//
// smtpd and tokend do not know each other: smtpd is given a function that checks
// tokens.
//
// # Locks
//
// Each room guards its own state. No lock is held during I/O, and none is taken
// while another is held; the exception is smtpd.Server.mu, under which a port is
// opened or closed.
//
// # HTTP API
//
//	POST   /token              token endpoint (RFC 6749; RFC 7523, RFC 7636, RFC 8628)
//	POST   /devicecode         device authorization endpoint (RFC 8628 section 3.1)
//	GET    /authorize          authorization endpoint (RFC 6749 section 3.1)
//	GET    /consent            what waits for consent; ?id= and ?account= give it
//	GET    /messages           list of envelopes; ?account= and ?after=ID narrow it
//	GET    /messages/{id}      one envelope
//	GET    /messages/{id}/raw  its content, byte for byte
//	DELETE /messages           forget all
//	GET    /loads              deliveries by load run (see LoadStats)
//	GET    /loads/{run}        delivered numbers of one run, as ranges
//	GET    /peaks              the most that each mailbox had (see Config.Spans)
//	DELETE /peaks              count that from now on
//	GET    /stats              counters
//	GET    /accounts           accounts with their counters, without secrets
//	GET    /faults             rules with their counters
//	POST   /faults             replace the fault script by a JSON list of rules
//	DELETE /faults             remove it
//	GET    /commands           newest commands, if Config.Record is set
//	PUT    /latency            change the reply delays
package sandbox
