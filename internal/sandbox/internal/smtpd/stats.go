package smtpd

import (
	"maps"
	"sync"
)

// Names of violations: breaches by the client, of protocol or of the limit of a tenant.
const (
	ViolationPipelinedStartTLS   = "pipelined-after-starttls"   // RFC 3207 section 4
	ViolationPipelinedGroup      = "pipelined-after-last"       // RFC 2920 section 3.1: EHLO, AUTH, DATA... end a group
	ViolationPipeliningUnoffered = "pipelining-not-offered"     // input before the reply
	ViolationAuthInClear         = "auth-in-clear"              // a token without TLS
	ViolationMailBeforeAuth      = "mail-before-auth"           // MAIL, RCPT, DATA or BDAT
	ViolationNoEHLO              = "no-ehlo"                    // also: none after STARTTLS
	ViolationSequence            = "bad-sequence"               // any other command out of order
	ViolationSyntax              = "syntax"                     // a command that does not parse
	ViolationUnknownCommand      = "unknown-command"            // a verb that no EHLO offered
	ViolationUnoffered           = "extension-not-offered"      // parameter, BDAT or mechanism
	ViolationLineLength          = "line-too-long"              // RFC 5321 section 4.5.3.1.4, RFC 4954 section 4
	ViolationLineEnd             = "bare-line-end-in-command"   // LF without CR, NUL
	ViolationContentLineEnd      = "bare-line-end-in-content"   // CR or LF alone, in DATA
	ViolationUnstuffedDot        = "unstuffed-dot"              // a line with one leading dot, in DATA
	ViolationEarlyTalk           = "input-before-greeting"      // RFC 5321 section 3.1
	ViolationSizeParameter       = "size-parameter-wrong"       // SIZE= below what came
	ViolationChallengeAnswer     = "challenge-answer-not-empty" // after a refused token
	ViolationTenantLimit         = "tenant-limit"               // external recipients beyond mailbox.Tenant
)

// Stats are the counters of a server.
type Stats struct {
	Connections   int64 `json:"connections"`
	Open          int64 `json:"open"`
	MaxOpen       int64 `json:"max_open"`
	TLSHandshakes int64 `json:"tls_handshakes"`
	TLSResumed    int64 `json:"tls_resumed"`
	TLSFailures   int64 `json:"tls_failures"`
	Logins        int64 `json:"logins"`
	LoginFailures int64 `json:"login_failures"`
	Commands      int64 `json:"commands"`
	Messages      int64 `json:"messages"`
	Bytes         int64 `json:"bytes"` // content of the messages
	Recipients    int64 `json:"recipients"`
	Bounced       int64 `json:"bounced"` // messages answered with 250, beyond the limit of a tenant
	Quits         int64 `json:"quits"`
}

// counters are Stats at work.
type counters struct {
	mu         sync.Mutex // guards what follows
	stats      Stats
	violations map[string]int64
}

// count changes the counters.
func (c *counters) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// opened counts a connection and returns its number, from 1.
func (c *counters) opened() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Connections++
	c.stats.Open++
	c.stats.MaxOpen = max(c.stats.MaxOpen, c.stats.Open)
	return uint64(c.stats.Connections)
}

func (c *counters) violation(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.violations == nil {
		c.violations = map[string]int64{}
	}
	c.violations[name]++
}

// Stats returns the counters, and the violations by name; nil if there are none.
func (s *Server) Stats() (stats Stats, violations map[string]int64) {
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	return s.counters.stats, maps.Clone(s.counters.violations)
}
