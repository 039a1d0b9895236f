package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"xoauth2-proxy/internal/sandbox/internal/fault"
)

// replyFields are the replies of a preset that Endpoint.Replies may replace, by
// name.
var replyFields = map[string]func(*preset) *string{
	"command_line":            func(p *preset) *string { return &p.lineTooLong },
	"messages_per_connection": func(p *preset) *string { return &p.tooManyMessages },
	"recipients":              func(p *preset) *string { return &p.tooManyRecipients },
	"connections":             func(p *preset) *string { return &p.tooManyConnections },
	"logins_per_minute":       func(p *preset) *string { return &p.tooManyLogins },
	"messages_per_day":        func(p *preset) *string { return &p.dailyMessages },
	"recipients_per_day":      func(p *preset) *string { return &p.dailyRecipients },
	"size":                    func(p *preset) *string { return &p.tooBig },
	"token":                   func(p *preset) *string { return &p.badToken },
}

// ReplyNames returns the names that Endpoint.Replies knows: limits, "size" of a
// message, and "token" for a login that is refused.
func ReplyNames() []string { return slices.Sorted(maps.Keys(replyFields)) }

// with returns p with these replies.
func (p *preset) with(replies map[string]string) *preset {
	if len(replies) == 0 {
		return p
	}
	own := *p
	for name, text := range replies {
		*replyFields[name](&own) = text
	}
	return &own
}

// checkReplies reports what is wrong with Refuse and Replies.
func (e *Endpoint) checkReplies() (errs []error) {
	negative := func(reply string) bool { return fault.ReplyCode(reply) >= 400 && fault.ReplyCode(reply) <= 599 }
	for verb, reply := range e.Refuse {
		if !slices.Contains(fault.Verbs, verb) {
			errs = append(errs, fmt.Errorf("refuse: %q is none of %s", verb, strings.Join(fault.Verbs, ", ")))
		}
		if reply != "" && !negative(reply) {
			errs = append(errs, fmt.Errorf("refuse.%s: %q is no refusal", verb, reply))
		}
	}
	for name, reply := range e.Replies {
		if replyFields[name] == nil {
			errs = append(errs, fmt.Errorf("replies: %q is none of %s", name, strings.Join(ReplyNames(), ", ")))
		}
		if !negative(reply) {
			errs = append(errs, fmt.Errorf("replies.%s: %q is no refusal", name, reply))
		}
	}
	return errs
}

// refuseVerb answers a command that is not carried out; "" is no answer.
func (s *session) refuseVerb(reply string) {
	if reply == "" {
		return
	}
	s.reply(reply)
	if fault.ReplyCode(reply) == 421 {
		s.shut(ActionClose)
	}
}

// passOver reads and forgets the content of a BDAT that is not carried out,
// unless the code (0: none) says that the verb is unknown: such a server does not
// know that content follows.
func (s *session) passOver(verb string, args []byte, code int) {
	if verb != "BDAT" || code == 500 || code == 502 || code == 504 {
		return
	}
	num, _, _ := strings.Cut(string(args), " ")
	if n, ok := parseNumber([]byte(num)); ok && s.swallow(n) == nil && s.tx.open {
		s.tx.verb, s.tx.closed = "BDAT", true
	}
}
