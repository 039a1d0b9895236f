package sandbox

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Names of violations: breaches of protocol by the client.
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
)

// Stats are the counters of a sandbox.
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
	Quits         int64 `json:"quits"`
	TokenRequests int64 `json:"token_requests"`
	TokensIssued  int64 `json:"tokens_issued"`
	// Violations counts breaches of protocol by name.
	Violations map[string]int64 `json:"violations"`
}

// counters are Stats at work.
type counters struct {
	open, maxOpen                      atomic.Int64
	handshakes, resumed, tlsFailures   atomic.Int64
	logins, loginFailures, commands    atomic.Int64
	messages, bytes, recipients, quits atomic.Int64

	mu         sync.Mutex // guards violations
	violations map[string]int64
}

func (c *counters) opened() {
	n := c.open.Add(1)
	for {
		m := c.maxOpen.Load()
		if n <= m || c.maxOpen.CompareAndSwap(m, n) {
			return
		}
	}
}

func (c *counters) violation(name string) {
	c.mu.Lock()
	if c.violations == nil {
		c.violations = map[string]int64{}
	}
	c.violations[name]++
	c.mu.Unlock()
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c, tokens := &s.counters, s.tokens.Stats()
	c.mu.Lock()
	violations := maps.Clone(c.violations)
	c.mu.Unlock()
	return Stats{
		Connections: int64(s.connections.Load()), Open: c.open.Load(), MaxOpen: c.maxOpen.Load(),
		TLSHandshakes: c.handshakes.Load(), TLSResumed: c.resumed.Load(), TLSFailures: c.tlsFailures.Load(),
		Logins: c.logins.Load(), LoginFailures: c.loginFailures.Load(), Commands: c.commands.Load(),
		Messages: c.messages.Load(), Bytes: c.bytes.Load(), Recipients: c.recipients.Load(), Quits: c.quits.Load(),
		TokenRequests: tokens.TokenRequests, TokensIssued: tokens.TokensIssued,
		Violations: violations,
	}
}
