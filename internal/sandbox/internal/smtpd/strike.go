package smtpd

import (
	"bytes"
	"fmt"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// hit returns the fault that strikes now, or nil. rcpt is the forward-path of
// the RCPT at hand; nil means those of the transaction.
func (s *session) hit(ph fault.Phase, rcpt []byte) *fault.Fault {
	if !s.srv.cfg.Faults.Active() {
		return nil
	}
	ev := s.event(ph)
	if rcpt != nil {
		ev.Recipients = []string{string(rcpt)}
	}
	return s.srv.cfg.Faults.Take(ev)
}

// event describes the state of the session to fault rules.
func (s *session) event(ph fault.Phase) *fault.Event {
	if s.perConn == nil {
		s.perConn = map[*fault.Fault]int64{}
	}
	ev := &fault.Event{Phase: ph, Endpoint: s.ep.Name, Secure: s.tls != nil, Conn: s.id, PerConn: s.perConn,
		MailFrom: s.tx.from, HasMail: s.tx.open}
	if s.box != nil {
		ev.Account = s.box.Email
	}
	for _, r := range s.tx.rcpts {
		ev.Recipients = append(ev.Recipients, r.Path)
	}
	return ev
}

// hitMail is hit for MAIL, whose reverse-path is not yet that of a transaction.
func (s *session) hitMail(from []byte) *fault.Fault {
	if !s.srv.cfg.Faults.Active() {
		return nil
	}
	ev := s.event(fault.PhaseMail)
	ev.MailFrom, ev.HasMail, ev.Recipients = string(from), true, nil
	return s.srv.cfg.Faults.Take(ev)
}

// hitCommand is hit for a command line.
func (s *session) hitCommand(verb string) *fault.Fault {
	if !s.srv.cfg.Faults.Active() {
		return nil
	}
	ev := s.event(fault.PhaseCommand)
	ev.Verb = verb
	return s.srv.cfg.Faults.Take(ev)
}

// hitAuth is hit for a login, whose account is not yet that of the session.
func (s *session) hitAuth(user string) *fault.Fault {
	if !s.srv.cfg.Faults.Active() {
		return nil
	}
	ev := s.event(fault.PhaseAuth)
	ev.Account = user
	return s.srv.cfg.Faults.Take(ev)
}

// act does what the fault says. effect is what the command would have done;
// nil where there is nothing to do.
func (s *session) act(f *fault.Fault, effect func()) {
	s.flush()
	if f.Delay > 0 && f.Phase != fault.PhaseIdle && !s.pause(time.Duration(f.Delay)) {
		return
	}
	proceed := func() {
		if effect != nil {
			effect()
			effect = nil
		}
	}
	if f.Accept {
		proceed()
		s.w.take()
		if s.ended {
			return
		}
	}
	switch f.Action {
	case fault.ActionReply:
		s.reply(f.Reply)
		if fault.ReplyCode(f.Reply) == 421 && f.Then == "" {
			s.shut(fault.ActionClose)
		}
	case fault.ActionPass:
		proceed()
	case fault.ActionIgnore:
	case fault.ActionClose, fault.ActionCut, fault.ActionReset:
		s.shut(f.Action)
	case fault.ActionStall:
		s.w.drain()
		if s.pause(time.Duration(f.For)) {
			proceed()
		}
	case fault.ActionSlow:
		proceed()
		s.dribble(append([]byte(nil), s.w.take()...), time.Duration(f.Interval))
	case fault.ActionGarbage:
		s.write(f.Garbage())
	case fault.ActionHuge:
		s.write(hugeReply(f.Reply, f.Size))
	case fault.ActionDropKeyword:
		s.dropped = f.Keyword
		proceed()
	case fault.ActionWrongCertificate: // startTLS chooses it
	}
	if f.Then != "" && (!s.ended || f.Phase == fault.PhaseQuit) {
		s.shut(f.Then)
	}
}

// pause waits for d, or with 0 until the client closes. It reports whether the
// session is to go on.
func (s *session) pause(d time.Duration) bool {
	if !wait.Peer(s.raw, d, s.srv.conns.Done()) {
		s.ended = true
	}
	return !s.ended
}

// write sends bytes that are no reply of ours, behind what was flushed.
func (s *session) write(b []byte) {
	s.w.drain()
	if _, err := s.w.conn.Write(b); err != nil {
		s.ended = true
	}
}

// dribble sends b one byte each interval.
func (s *session) dribble(b []byte, interval time.Duration) {
	for i := range b {
		if s.write(b[i : i+1]); s.ended || !s.pause(interval) {
			return
		}
	}
}

// hugeReply returns a reply of about size bytes, of the code and text given.
func hugeReply(reply string, size int) []byte {
	code, text := "250", "2.0.0 huge"
	if len(reply) > 4 {
		code, text = reply[:3], reply[4:]
	}
	line := fmt.Appendf(nil, "%s-%s\r\n", code, text)
	b := bytes.Repeat(line, max(size/len(line), 1))
	return fmt.Appendf(b, "%s %s\r\n", code, text)
}
