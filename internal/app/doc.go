// Package app assembles and runs one proxy: it wires the parts together, reloads
// their files, carries out what the admin API asks for, and stops them in order.
// Flags and exit codes belong to cmd/xoauth2-proxy.
//
// # States
//
//	starting   Start makes the parts, each before the parts that use it. The
//	           listeners of clients open last. After an error all ends again.
//	running    Clients, operators and reloads are served.
//	draining   Stop: no new connections; running messages finish, until the context
//	           of Stop ends. Then the sessions that are left are cut off.
//	closed     Stop has returned. Connections to providers, loops, quota store, token
//	           workers, token store and admin listener have ended, in this order. A
//	           stuck part ends with the process.
//
// Run adds the signals of a process: SIGTERM or SIGINT begins the drain, another one
// that comes more than a second later ends it. A deadline stands after each: the process
// ends even if a part, a disk or the log hangs. Between the first signal and the drain lies
// server.shutdown_delay, in which only /ready differs from running. See Signals for the
// others.
//
// # What a reload puts in force
//
// SIGHUP, the admin API and a change of a file cause a reload. The files are
// config.json, accounts.json, and the files that their secrets refer to. A reload
// reads and checks all of them first; on an error nothing changes. Then it puts in
// force:
//
//   - all accounts, with the limits and presets of their providers. An account that
//     did not change stays the same object. A session sees the old accounts or the
//     new ones, and no token or connection of the old in place of the new; the
//     sessions of a removed account end after their message;
//   - log.level, if the file gives another one than before, admin.token, secrets,
//     providers, global.smtp.use_source_ip_binding and global.smtp.use_ipv6.
//
// All other settings need a restart: the log and the answer of the admin API name
// those that differ. A reload also looks at the certificate for clients, as handshakes do, at
// most every 5 s. One that cannot be used is named in the log, the answer of the admin API
// and a metric; the old one stays in use, and the rest of the reload is in force.
//
// # Locks
//
//   - reloader.mu serializes reloads and edits of the accounts file, and guards the
//     settings in force. It is held while files are read and written. No event loop
//     and no session takes it.
//   - inputs.mu guards which files the secrets refer to. It may be taken inside
//     reloader.mu, never around it.
//   - certificate.mu guards the certificate for clients. It is taken in the
//     goroutines of handshakes, alone.
package app
