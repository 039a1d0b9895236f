package smtpd

import (
	"strings"

	"xoauth2-proxy/internal/sandbox/internal/fault"
)

// refuseVerb answers a command that is not carried out; "" is no answer.
func (s *session) refuseVerb(reply string) {
	if reply == "" {
		return
	}
	s.reply(reply)
	if fault.ReplyCode(reply) == 421 {
		s.shut(fault.ActionClose)
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
