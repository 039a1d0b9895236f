package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

// with returns p with these replies.
func (p *preset) with(replies map[string]string) *preset {
	own := *p
	own.replies = maps.Clone(p.replies)
	maps.Copy(own.replies, replies)
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
		if names := slices.Sorted(maps.Keys(presets[mailbox.Gmail].replies)); !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("replies: %q is none of %s", name, strings.Join(names, ", ")))
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
