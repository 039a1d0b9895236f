package smtpd

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
)

// splitVerb returns the verb in upper case and the arguments. An unknown verb
// is "".
func splitVerb(line []byte) (verb string, args []byte) {
	word, args, _ := bytes.Cut(line, []byte{' '})
	for _, v := range fault.Verbs {
		if len(word) == len(v) && strings.EqualFold(v, string(word)) { // the lengths rule out letters beyond ASCII
			return v, args
		}
	}
	return "", nil
}

// command runs one command line, unless a fault or Endpoint.Refuse stops it.
func (s *session) command(line []byte) {
	s.srv.counters.count(func(c *Stats) { c.Commands++ })
	verb, args := splitVerb(line)
	s.srv.log.record(s.id, verb, args, line)
	l := s.srv.latency.Load()
	s.w.slower(time.Duration(l.RoundTrip + l.Commands[verb]))
	if f := s.hit(fault.PhaseCommand, func(ev *fault.Event) { ev.Verb = cmp.Or(verb, fault.VerbUnknown) }); f != nil {
		instead := []fault.Action{fault.ActionReply, fault.ActionIgnore, fault.ActionGarbage, fault.ActionHuge}
		if slices.Contains(instead, f.Action) && !f.Accept {
			s.passOver(verb, args, fault.ReplyCode(f.Reply))
		}
		s.act(f, func() { s.execute(verb, args) })
		return
	}
	if reply, refused := s.ep.Refuse[verb]; refused {
		s.passOver(verb, args, fault.ReplyCode(reply))
		s.refuseVerb(reply)
		return
	}
	s.execute(verb, args)
}

// execute carries the command out.
func (s *session) execute(verb string, args []byte) {
	if verb != "BDAT" && s.br.Buffered() > 0 {
		s.checkGroup(verb)
	}
	switch verb {
	case "MAIL":
		s.onMAIL(args)
	case "RCPT":
		s.onRCPT(args)
	case "BDAT":
		s.onBDAT(args)
	case "DATA":
		s.onDATA(args)
	case "EHLO", "HELO":
		s.onEHLO(verb, args)
	case "STARTTLS":
		s.onSTARTTLS(args)
	case "AUTH":
		s.onAUTH(args)
	case "RSET":
		s.guard(fault.PhaseRset, nil, func() { s.tx.reset(); s.reply("250 2.1.5 Flushed") })
	case "NOOP":
		s.guard(fault.PhaseNoop, nil, func() { s.reply("250 2.0.0 OK") })
	case "QUIT":
		s.guard(fault.PhaseQuit, nil, s.quit)
	case "VRFY":
		s.reply("252 2.1.5 Send some mail, I'll try my best")
	case "HELP":
		s.reply("214 2.0.0 https://www.rfc-editor.org/rfc/rfc5321")
	default:
		s.refuse(ViolationUnknownCommand, "502 5.5.1 Unrecognized command")
	}
}

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
	num, _, _ := bytes.Cut(args, []byte{' '})
	if n, ok := parseNumber(num); ok && s.swallow(n) == nil && s.tx.open {
		s.tx.verb, s.tx.closed = "BDAT", true
	}
}

// checkGroup notes input that came before the reply to a command was sent.
func (s *session) checkGroup(verb string) {
	switch verb {
	case "EHLO", "HELO", "AUTH", "DATA", "VRFY", "NOOP", "QUIT":
		s.violation(ViolationPipelinedGroup)
	case "STARTTLS": // onSTARTTLS checks
	default:
		if s.offer == nil || s.offer.exts&extPIPELINING == 0 {
			s.violation(ViolationPipeliningUnoffered)
		}
	}
}

func (s *session) quit() {
	s.srv.counters.count(func(c *Stats) { c.Quits++ })
	s.tx.reset()
	if s.box != nil { // before the reply: a client that has read it may connect again
		s.box.Logout(s.id)
	}
	s.reply("221 2.0.0 closing connection")
	s.flush()
	s.ended = true
}

func (s *session) onEHLO(verb string, args []byte) {
	if len(args) == 0 || bytes.ContainsAny(args, " ") {
		s.refuse(ViolationSyntax, "501 5.5.4 Empty or malformed "+verb+" argument")
		return
	}
	s.guard(fault.PhaseEHLO, nil, func() {
		s.tx.reset()
		if verb == "HELO" {
			s.offer = &offer{}
			s.reply("250 smtp.sandbox.test at your service")
			return
		}
		o := s.ep.offer
		if s.tls == nil {
			o = s.ep.clear
		}
		if s.dropped != "" {
			o, s.dropped = o.without(s.dropped), ""
		}
		s.offer = o
		text := "250 smtp.sandbox.test at your service"
		for _, l := range o.lines {
			text += "\n" + l
		}
		s.reply(text)
	})
}

func (s *session) onSTARTTLS(args []byte) {
	switch {
	case !s.greeted():
		return
	case s.tls != nil || s.offer.exts&extSTARTTLS == 0:
		s.refuse(ViolationSequence, "503 5.5.1 STARTTLS not available")
		return
	case len(args) > 0:
		s.refuse(ViolationSyntax, "501 5.5.4 STARTTLS takes no parameters")
		return
	}
	proceed := false
	s.guard(fault.PhaseStartTLS, nil, func() {
		if s.br.Buffered() > 0 {
			s.violation(ViolationPipelinedStartTLS)
			s.reply("454 4.5.0 Pipelining not allowed after STARTTLS")
			s.flush()
			s.shut(fault.ActionClose)
			return
		}
		s.reply("220 2.0.0 Ready to start TLS")
		proceed = true
	})
	if !proceed || s.ended {
		return
	}
	s.flush()
	s.w.drain()
	if !s.ended {
		s.startTLS()
	}
}
