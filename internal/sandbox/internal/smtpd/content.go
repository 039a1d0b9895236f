package smtpd

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/store"
)

// slowPiece is how much content a slow reader takes each interval.
const slowPiece = 512

// errStruck means that a fault ended the content or the session.
var errStruck = errors.New("fault struck")

func (s *session) onBDAT(args []byte) {
	num, last, hasLast := bytes.Cut(args, []byte{' '})
	n, ok := parseNumber(num)
	if !ok || hasLast && !bytes.EqualFold(last, []byte("LAST")) {
		// The length is unknown: what follows cannot be told from commands.
		s.violation(ViolationSyntax)
		s.reply("501 5.5.4 Syntax error in BDAT")
		s.flush()
		s.shut(fault.ActionClose)
		return
	}
	if refusal := s.refuseBDAT(); refusal != "" {
		s.swallow(n)
		s.tx.closed = true
		s.reply(refusal)
		return
	}
	var then fault.Action
	if s.tx.verb == "" {
		var proceed bool
		if proceed, then = s.strikeBDAT(n); !proceed {
			return
		}
	}
	s.tx.verb = "BDAT"
	s.tx.chunks++
	if err := s.readChunk(n); err != nil {
		return
	}
	switch {
	case s.tx.spoiled:
		s.tx.reset()
	case hasLast:
		s.tx.closed = true
		s.endOfData()
	case s.tx.overflow:
		s.tx.closed = true
		s.reply(s.ep.preset.replies[replySize])
	default:
		s.reply("250 2.0.0 OK " + strconv.FormatInt(n, 10) + " octets received")
	}
	if then != "" && !s.ended {
		s.shut(then)
	}
}

// refuseBDAT returns the refusal of a chunk, or "".
func (s *session) refuseBDAT() string {
	switch {
	case s.offer == nil || s.box == nil:
		s.violation(ViolationMailBeforeAuth)
		return s.ep.preset.needAuth
	case s.offer.exts&extCHUNKING == 0:
		s.violation(ViolationUnoffered)
		return "502 5.5.1 Unrecognized command"
	case !s.tx.open:
		return "503 5.5.1 MAIL first"
	case s.tx.closed:
		return "503 5.5.1 Chunk after a refused or the last one"
	case len(s.tx.rcpts) == 0:
		return s.ep.preset.noRecipient
	case s.tx.verb == "" && !s.maySend():
		return s.ep.preset.replies[mailbox.LimitConnections]
	}
	return ""
}

// strikeBDAT runs the fault of phase data, if one is due, at the first chunk
// of n octets. It reports whether the chunk is still to be read, and how the
// connection is to end after the reply to it.
func (s *session) strikeBDAT(n int64) (proceed bool, then fault.Action) {
	f := s.hit(fault.PhaseData, nil)
	if f == nil {
		return true, ""
	}
	switch f.Action {
	case fault.ActionReply, fault.ActionGarbage, fault.ActionHuge, fault.ActionIgnore:
		// The chunk is on its way already, and the answer comes after it.
		s.swallow(n)
		s.tx.verb, s.tx.closed = "BDAT", true
		s.act(f, nil)
		return false, ""
	}
	rule := f.Rule
	rule.Then, then = "", rule.Then
	s.act(&fault.Fault{Rule: rule}, func() { proceed = true })
	if f.Action == fault.ActionSlow {
		s.tx.pace = f
	}
	return proceed && !s.ended, then
}

// readChunk reads n octets of content, with the fault that is due in the midst.
func (s *session) readChunk(n int64) error {
	tx := &s.tx
	if tx.content == nil {
		tx.content = contents.Get().(*[]byte)
	}
	if limit := s.offer.size; limit > 0 && int64(len(*tx.content))+n > limit {
		tx.overflow = true
	}
	if n > 64<<10 {
		s.flush() // a large chunk takes a while, and the client may want its replies
	}
	f := s.hit(fault.PhaseMidContent, nil)
	if f == nil {
		return s.read(n)
	}
	before := n / 2
	if f.After > 0 {
		before = min(f.After, n)
	}
	if err := s.read(before); err != nil {
		return err
	}
	if err := s.strikeContent(f); err != nil {
		return err
	}
	return s.read(n - before)
}

// read takes n octets into the content, at the pace of a slow fault if there
// is one.
func (s *session) read(n int64) error {
	if s.tx.overflow || s.tx.spoiled {
		return s.swallow(n)
	}
	s.armIdle()
	content := slices.Grow(*s.tx.content, int(n))
	for n > 0 {
		piece := n
		if pace := s.tx.pace; pace != nil {
			piece = min(n, slowPiece)
			if !s.pause(time.Duration(pace.Interval)) {
				return errStruck
			}
		}
		have := len(content)
		if _, err := io.ReadFull(s.br, content[have:have+int(piece)]); err != nil {
			s.ended = true
			return err
		}
		content = content[:have+int(piece)]
		n -= piece
	}
	*s.tx.content = content
	return nil
}

// swallow reads n octets and forgets them.
func (s *session) swallow(n int64) error {
	s.armIdle()
	if _, err := io.CopyN(io.Discard, s.br, n); err != nil {
		s.ended = true
		return err
	}
	return nil
}

func (s *session) onDATA(args []byte) {
	if !s.ready() {
		return
	}
	refusal := ""
	switch {
	case len(args) > 0:
		s.violation(ViolationSyntax)
		refusal = "501 5.5.4 DATA takes no parameters"
	case !s.tx.open:
		refusal = "503 5.5.1 MAIL first"
	case s.tx.verb != "" || s.tx.binary:
		s.violation(ViolationSequence)
		refusal = "503 5.5.1 DATA not allowed with BDAT or BINARYMIME"
	case len(s.tx.rcpts) == 0:
		refusal = s.ep.preset.noRecipient
	case !s.maySend():
		refusal = s.ep.preset.replies[mailbox.LimitConnections]
	}
	if refusal != "" {
		s.reply(refusal)
		return
	}
	proceed := false
	s.guard(fault.PhaseData, nil, func() {
		s.reply("354 Go ahead")
		proceed = true
	})
	if !proceed {
		s.tx.reset() // the fault answered in the place of 354
		return
	}
	s.flush()
	if s.ended {
		return
	}
	s.tx.verb = "DATA"
	s.tx.content = contents.Get().(*[]byte)
	if s.readData() != nil {
		return
	}
	if s.tx.spoiled {
		s.tx.reset()
		return
	}
	s.endOfData()
}

// endOfData answers the end of the content, and ends the transaction.
func (s *session) endOfData() {
	l := s.srv.latency.Load()
	s.w.slower(time.Duration(l.RoundTrip + l.Final))
	s.guard(fault.PhaseAfterEOD, nil, s.accept)
	if !s.ended {
		s.guard(fault.PhaseAfterReply, nil, func() {})
	}
	s.tx.reset()
}

// accept takes the message or refuses it, and replies.
func (s *session) accept() {
	tx := &s.tx
	content := *tx.content
	if tx.overflow {
		s.reply(s.ep.preset.replies[replySize])
		return
	}
	if tx.declared >= 0 && int64(len(content)) > tx.declared {
		s.violation(ViolationSizeParameter)
	}
	if !s.admit() || !s.admitToTenant() {
		return
	}
	id, err := s.srv.cfg.Store.Add(s.box.Email, content, s.message)
	if err != nil {
		s.reply("451 4.3.0 Cannot store the message: " + err.Error())
		return
	}
	s.srv.counters.count(func(c *Stats) {
		c.Messages++
		c.Bytes += int64(len(content))
		c.Recipients += int64(len(tx.rcpts))
	})
	s.box.Accepted(len(tx.rcpts), s.srv.cfg.Now())
	s.carried++
	p := s.ep.preset
	b := append(append(s.w.pending, "250 "...), p.acceptedBefore...)
	b = strconv.AppendUint(b, id, 10)
	s.w.pending = append(append(b, p.acceptedAfter...), "\r\n"...)
}

// admit reports whether the limits of the mailbox let the message in, after a
// delay if the provider delays. If not, it replied.
func (s *session) admit() bool {
	for {
		limit, wait := s.box.Admit(len(s.tx.rcpts), &s.ep.limits, s.ep.preset.delayOverRate, s.srv.cfg.Now())
		switch {
		case limit != "":
			s.reply(cmp.Or(s.ep.preset.replies[limit], replyRate))
			return false
		case wait == 0:
			return true
		}
		if s.flush(); !s.pause(wait) {
			return false
		}
	}
}

// admitToTenant reports whether the limit of the mailbox's tenant lets the message in. If
// not, it replied, and noted a violation.
func (s *session) admitToTenant() bool {
	if s.box.Tenant == "" {
		return true
	}
	paths := make([]string, len(s.tx.rcpts))
	for i, r := range s.tx.rcpts {
		paths[i] = r.Path
	}
	ok, refuse := s.box.AdmitToTenant(paths, s.srv.cfg.Now())
	if ok {
		return true
	}
	s.violation(ViolationTenantLimit)
	if refuse {
		s.reply("550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients")
		return false
	}
	s.srv.counters.count(func(c *Stats) { c.Bounced++ })
	s.reply("250 2.0.0 OK <bounced@sandbox.test> [Hostname=smtp.sandbox.test]")
	return false
}

// maySend reports whether the limit on connections lets the session send, for a
// provider that asks this at DATA.
func (s *session) maySend() bool {
	return s.ep.preset.atLogin || s.box.MaySend(s.id, &s.ep.limits)
}

// message is the envelope, for the store.
func (s *session) message() *store.Message {
	return &store.Message{Time: time.Now(), Endpoint: s.ep.Name, Account: s.box.Email, Connection: s.id,
		ReversePath: s.tx.from, Params: s.tx.params, Recipients: slices.Clone(s.tx.rcpts),
		Verb: s.tx.verb, Chunks: s.tx.chunks}
}
