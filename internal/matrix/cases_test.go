package matrix

import (
	"fmt"
	"strings"
	"time"

	"xoauth2-proxy/internal/sandbox"
)

// Answers of the proxy's own, by code and enhanced code; said stands for the
// provider's words.
const (
	delivered = "250"
	said      = "said"
	connect   = "451 4.4.1" // no connection to the provider
	noTLS     = "451 4.7.5" // none that can be trusted
	lost      = "451 4.4.2" // the connection was lost
	protocol  = "451 4.5.0" // the provider's answer was not understood
	tempAuth  = "454 4.7.0" // no login now
	permAuth  = "451 4.7.0" // no login until an operator acts
	unnamed   = "451 4.4.4" // no address
	nextTime  = "452 4.5.3" // in another transaction
)

// point is where faults strike.
type point struct {
	name   string
	phase  sandbox.Phase
	secure string
	// answer is what the client is told when the connection ends there.
	answer string
	// scoped: faults can be confined to one account.
	scoped bool
	// shorten makes a stall there a short one.
	shorten func(s *settings, brief time.Duration)
}

// brief is the timeout that a stall is to meet, where the machine has the time for
// what comes before it.
const brief = 250 * time.Millisecond

var points = []point{
	{"connect", sandbox.PhaseConnect, "", connect, false, func(s *settings, brief time.Duration) { s.upstream.GreetingTimeout = brief }},
	{"banner", sandbox.PhaseBanner, "", connect, false, func(s *settings, brief time.Duration) { s.upstream.GreetingTimeout = brief }},
	{"ehlo in clear", sandbox.PhaseEHLO, "clear", connect, false, func(s *settings, brief time.Duration) { s.upstream.LoginTimeout = brief }},
	{"starttls", sandbox.PhaseStartTLS, "", noTLS, false, func(s *settings, brief time.Duration) { s.upstream.LoginTimeout = brief }},
	{"tls", sandbox.PhaseTLS, "", noTLS, false, func(s *settings, brief time.Duration) { s.upstream.TLSTimeout = brief }},
	{"ehlo under tls", sandbox.PhaseEHLO, "tls", connect, false, func(s *settings, brief time.Duration) { s.upstream.LoginTimeout = brief }},
	{"auth", sandbox.PhaseAuth, "", connect, true, func(s *settings, brief time.Duration) { s.upstream.LoginTimeout = brief }},
	{"mail", sandbox.PhaseMail, "", lost, true, shortCommands},
	{"rcpt", sandbox.PhaseRcpt, "", lost, true, shortCommands},
	{"data", sandbox.PhaseData, "", lost, true, shortCommands},
	{"mid-content", sandbox.PhaseMidContent, "", lost, true, shortCommands},
	{"after-eod", sandbox.PhaseAfterEOD, "", lost, true, shortCommands},
	{"after-reply", sandbox.PhaseAfterReply, "", delivered, true, shortCommands},
	{"idle", sandbox.PhaseIdle, "", delivered, true, shortCommands},
	{"rset", sandbox.PhaseRset, "", said, true, shortCommands},
	{"quit", sandbox.PhaseQuit, "", delivered, true, func(s *settings, brief time.Duration) { s.upstream.QuitTimeout = brief }},
}

// shortCommands is for a transaction that is under way. The wait for the final
// reply is never below a second.
func shortCommands(s *settings, brief time.Duration) {
	s.upstream.CommandTimeout, s.upstream.DataTimeout, s.upstream.FinalTimeout = brief, brief, brief
}

// faults are what can happen at a point. Their enhanced codes have no meaning
// beyond the message at hand.
var faults = []struct {
	name string
	rule sandbox.Rule
}{
	{"reply 4yz", sandbox.Rule{Action: sandbox.ActionReply, Reply: "452 4.2.2 not now\n4.2.2 says the provider"}},
	{"reply 5yz", sandbox.Rule{Action: sandbox.ActionReply, Reply: "550 5.1.1 never, says the provider"}},
	{"reply 421", sandbox.Rule{Action: sandbox.ActionReply, Reply: "421 4.3.0 the provider goes away"}},
	{"close", sandbox.Rule{Action: sandbox.ActionClose}},
	{"cut", sandbox.Rule{Action: sandbox.ActionCut}},
	{"reset", sandbox.Rule{Action: sandbox.ActionReset}},
	{"stall", sandbox.Rule{Action: sandbox.ActionStall}},
	{"slow", sandbox.Rule{Action: sandbox.ActionSlow, Interval: sandbox.Duration(time.Millisecond)}},
	{"garbage", sandbox.Rule{Action: sandbox.ActionGarbage}},
	{"huge", sandbox.Rule{Action: sandbox.ActionHuge, Size: 256 << 10}},
}

// keywords that an EHLO under TLS may lack, with what the client is told.
var keywords = []struct{ word, secure, answer string }{
	{"STARTTLS", "clear", protocol},
	{"AUTH", "tls", protocol},
	{"XOAUTH2", "tls", protocol},
	{"SIZE", "tls", delivered},
	{"PIPELINING", "tls", delivered},
	{"CHUNKING", "tls", delivered},
	{"8BITMIME", "tls", "554 5.6.3"},
}

// matrixCase is one fault and one client.
type matrixCase struct {
	point  point
	rule   sandbox.Rule
	once   bool // the fault strikes only once
	preset string
	rcpts  int
	how    style
	want   string
	later  []string // what further recipients may be told beside want
	stall  bool
}

func (c *matrixCase) name(fault string) string {
	times, client := "always", "steps"
	if c.once {
		times = "once"
	}
	if c.how.pipelined {
		client = "pipelined"
	}
	name := fmt.Sprintf("%s/%s/%s/%s/%d %s", c.point.name, fault, times, c.preset, c.rcpts, client)
	return strings.ReplaceAll(name, " ", "-")
}

// expect works out what the client is to be told.
func (c *matrixCase) expect() {
	p := c.point
	c.want = p.answer
	c.later = []string{nextTime}
	early := p.answer == connect || p.answer == noTLS
	switch c.rule.Action {
	case sandbox.ActionSlow:
		c.want = delivered
	case sandbox.ActionReply:
		switch {
		case p.phase == sandbox.PhaseAuth && c.rule.Reply[0] == '5':
			c.want = permAuth
		case p.phase == sandbox.PhaseAuth:
			c.want = tempAuth
		case p.answer == lost:
			c.want = said
		}
		if p.phase == sandbox.PhaseRcpt && c.once && c.how.pipelined {
			c.later = append(c.later, delivered)
		}
	case sandbox.ActionGarbage, sandbox.ActionHuge:
		if p.answer == lost || early && p.phase != sandbox.PhaseTLS {
			c.want = protocol
		}
	case sandbox.ActionClose, sandbox.ActionCut, sandbox.ActionReset, sandbox.ActionStall:
		if c.once && p.answer == lost && c.retries() {
			c.want = delivered
		}
	}
	if p.phase == sandbox.PhaseRset {
		c.want = said
	}
}

// retries reports whether a lost connection may be made good by another one:
// not once the end of the content may have left.
func (c *matrixCase) retries() bool {
	switch c.point.phase {
	case sandbox.PhaseMail, sandbox.PhaseRcpt:
		return c.preset == sandbox.PresetPlain || c.rcpts > 1 // else all is in one flight
	case sandbox.PhaseData:
		return c.preset == sandbox.PresetPlain
	}
	return false // the whole content fits into one write
}

// allCases is the product of all; with the race detector, which makes each case
// five times as slow, every fault at every phase still, but each from two kinds
// of client in six.
func allCases(add func(name string, c *matrixCase)) {
	number, kind := 0, 0
	clients := []struct {
		rcpts     int
		pipelined bool
	}{{1, false}, {3, false}, {3, true}}
	for _, preset := range []string{sandbox.PresetGmail, sandbox.PresetPlain} {
		for _, client := range clients {
			number = 0
			kind++
			one := func(p point, fault string, rule sandbox.Rule, once bool, want string) {
				c := &matrixCase{point: p, once: once, preset: preset, rcpts: client.rcpts, rule: rule,
					how: style{pipelined: client.pipelined, bdat: client.pipelined}, stall: rule.Action == sandbox.ActionStall}
				c.rule.Name, c.rule.Phase, c.rule.Secure = "fault", p.phase, p.secure
				if p.scoped {
					c.rule.Account = victim
				}
				if once {
					c.rule.Times = 1
				}
				if c.expect(); want != "" {
					c.want = want
				}
				if number++; raceDetector && (number+kind)%3 != 0 {
					return
				}
				add(c.name(fault), c)
			}
			for _, p := range points {
				for _, f := range faults {
					one(p, f.name, f.rule, true, "")
					if p.answer != delivered { // input after the answer is for the next message
						one(p, f.name, f.rule, false, "")
					}
				}
			}
			eod := pointOf("after-eod")
			for _, f := range faults[3:] { // the provider has it and says nothing, or nothing clear
				if f.rule.Action == sandbox.ActionSlow {
					continue
				}
				f.rule.Accept = true
				one(eod, f.name+" with the message", f.rule, false, "")
			}
			auth := pointOf("auth")
			bad := sandbox.Rule{Action: sandbox.ActionReply, Reply: "535 5.7.8 bad token"}
			one(auth, "reply 535", bad, false, permAuth)
			one(auth, "reply 535", bad, true, delivered)
			for _, k := range keywords {
				p := pointOf("ehlo under tls")
				p.secure = k.secure
				one(p, "without "+k.word, sandbox.Rule{Action: sandbox.ActionDropKeyword, Keyword: k.word}, false, k.answer)
			}
			for _, kind := range []string{sandbox.CertificateOtherName, sandbox.CertificateOtherCA, sandbox.CertificateExpired} {
				rule := sandbox.Rule{Action: sandbox.ActionWrongCertificate, Certificate: kind}
				one(pointOf("tls"), "certificate "+kind, rule, false, noTLS)
			}
		}
	}
}

func pointOf(name string) point {
	for _, p := range points {
		if p.name == name {
			return p
		}
	}
	panic("no point " + name)
}
