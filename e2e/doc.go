// Package e2e has the tests that drive the built program with real mail
// clients: swaks, openssl s_client, curl, msmtp, Postfix, Exim, Python's
// smtplib, Perl's Net::SMTP, nodemailer and Go's net/smtp, each as its users run
// it. They log in at the proxy, which relays to a sandbox provider on loopback, and the
// tests compare what arrived there with what was sent: content by its SHA-256,
// envelope, and the account whose login it came under.
//
// The tests have the build tag e2e. "make e2e" installs the clients and runs
// them, which takes Debian and root (Postfix and Exim start as root). A client
// that is missing fails its tests; none is skipped.
//
// HAProxy stands before several proxies, of which one ends and one is killed.
//
// systemd-analyze verifies the units of configs, and systemd-socket-activate starts the proxy
// with the clients' listener.
//
// promtool and a Prometheus server check the metrics, rules and dashboards ("make promtool"
// alone).
//
// Most of them log in in clear, where any password will do; those named after TLS
// use a proxy that asks for STARTTLS or begins with TLS, and checks passwords.
//
// Each test has a sandbox and a proxy of its own (type stack) on free ports of
// 127.0.0.1. When a test ends, nothing may be left on its way in the proxy, no
// secret may be in its log and its metrics, and it must exit with code 0 upon
// SIGTERM.
//
// E2E_SWAKS_LOOP is the number of deliveries in the loop of swaks runs, up to
// 2,000; the default is 500. Perl's start takes most of the time: one delivery
// is some 80 ms of CPU.
package e2e
