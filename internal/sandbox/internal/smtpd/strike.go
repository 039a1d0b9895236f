package smtpd

import (
	"bytes"
	"fmt"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// hit returns the fault that strikes now, or nil. edit, if not nil, completes the
// event by fields of the command at hand.
func (s *session) hit(ph fault.Phase, edit func(*fault.Event)) *fault.Fault {
	script := s.srv.cfg.Faults
	if !script.Active() {
		return nil
	}
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
	if edit != nil {
		edit(ev)
	}
	return script.Take(ev)
}

// guard runs the effect of a command, with the fault that strikes in its phase.
func (s *session) guard(ph fault.Phase, edit func(*fault.Event), effect func()) {
	if f := s.hit(ph, edit); f != nil {
		s.act(f, effect)
		return
	}
	effect()
}

// act carries the fault out. effect is the effect of the command, or nil.
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

// write sends bytes that are no reply, after all flushed replies.
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

// hugeReply returns a reply of about size bytes, with reply's code and text.
func hugeReply(reply string, size int) []byte {
	code, text := "250", "2.0.0 huge"
	if len(reply) > 4 {
		code, text = reply[:3], reply[4:]
	}
	line := fmt.Appendf(nil, "%s-%s\r\n", code, text)
	b := bytes.Repeat(line, max(size/len(line), 1))
	return fmt.Appendf(b, "%s %s\r\n", code, text)
}

// strikeContent runs a fault in the midst of the content. It returns errStruck if
// the session has ended.
func (s *session) strikeContent(f *fault.Fault) error {
	proceed := false
	s.act(f, func() { proceed = true })
	switch {
	case s.ended:
		return errStruck
	case !proceed:
		s.tx.spoiled = true
	case f.Action == fault.ActionSlow:
		s.tx.pace = f
	}
	return nil
}
