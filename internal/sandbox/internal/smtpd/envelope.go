package smtpd

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/store"
)

// transaction is one message on its way in. reset drops it whole.
type transaction struct {
	open     bool // after MAIL
	from     string
	params   []string
	declared int64 // SIZE=, -1 none
	binary   bool
	utf8     bool
	rcpts    []store.Recipient

	verb     string // "BDAT" once the first chunk came
	chunks   int
	content  *[]byte      // from contents; nil before content
	overflow bool         // over SIZE: the content is not kept
	spoiled  bool         // a fault took the content; no reply is due
	pace     *fault.Fault // of reading, when a fault makes it slow
	closed   bool         // BDAT LAST came or a chunk was refused: only RSET helps
}

const maxPooledContent = 1 << 20

var contents = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

func (tx *transaction) reset() {
	if tx.content != nil && cap(*tx.content) <= maxPooledContent {
		*tx.content = (*tx.content)[:0]
		contents.Put(tx.content)
	}
	clear(tx.rcpts)
	*tx = transaction{declared: -1, rcpts: tx.rcpts[:0]}
}

// ready reports whether EHLO, TLS and AUTH came before a command of mail. If not,
// it refused.
func (s *session) ready() bool {
	switch {
	case !s.greeted():
	case s.needsTLS():
		s.refuse(ViolationMailBeforeAuth, s.ep.preset.needTLS)
	case s.box == nil:
		s.refuse(ViolationMailBeforeAuth, s.ep.preset.needAuth)
	default:
		return true
	}
	return false
}

// greeted reports whether EHLO or HELO came, after TLS once more. If not, it
// refused.
func (s *session) greeted() bool {
	if s.offer == nil {
		s.refuse(ViolationNoEHLO, "503 5.5.1 EHLO/HELO first")
	}
	return s.offer != nil
}

func (s *session) onMAIL(args []byte) {
	if !s.ready() {
		return
	}
	if s.tx.open {
		s.refuse(ViolationSequence, "503 5.5.1 Nested MAIL command")
		return
	}
	path, rest, ok := cutPath(args, "FROM:")
	if !ok {
		s.refuse(ViolationSyntax, "555 5.5.2 Syntax error in MAIL")
		return
	}
	s.guard(fault.PhaseMail, func(ev *fault.Event) { ev.MailFrom, ev.HasMail, ev.Recipients = string(path), true, nil },
		func() { s.mail(path, rest) })
}

// mail opens the transaction.
func (s *session) mail(path, rest []byte) {
	s.tx.reset()
	tx := &s.tx
	for _, p := range bytes.Fields(rest) {
		if reply := s.mailParam(tx, p); reply != "" {
			tx.reset()
			s.reply(reply)
			return
		}
		tx.params = append(tx.params, string(p))
	}
	if !s.checkPath(path, true) {
		return
	}
	if n := s.ep.limits.MessagesPerConnection; n > 0 && s.carried >= n {
		s.box.Count(func(st *mailbox.Stats) { st.LimitRefusals++ })
		tx.reset()
		s.refuseVerb(s.ep.preset.replies[replyMessages])
		return
	}
	tx.open, tx.from = true, string(path)
	s.reply("250 2.1.0 OK")
}

// mailParam reads one parameter of MAIL. It returns a refusal or "".
func (s *session) mailParam(tx *transaction, p []byte) (refusal string) {
	key, value, _ := strings.Cut(string(p), "=")
	key = strings.ToUpper(key)
	needs, ok := extension(0), true
	switch key {
	case "SIZE":
		needs = extSIZE
		tx.declared, ok = parseNumber([]byte(value))
		if ok && s.offer.size > 0 && tx.declared > s.offer.size {
			return s.ep.preset.replies[replySize]
		}
	case "BODY":
		switch strings.ToUpper(value) {
		case "7BIT", "8BITMIME":
			needs = ext8BITMIME
		case "BINARYMIME":
			needs, tx.binary = extBINARYMIME, true
		default:
			ok = false
		}
	case "SMTPUTF8":
		needs, tx.utf8, ok = extSMTPUTF8, true, value == ""
	case "RET":
		needs, ok = extDSN, strings.EqualFold(value, "FULL") || strings.EqualFold(value, "HDRS")
	case "ENVID":
		needs, ok = extDSN, value != "" && len(value) <= 100
	case "AUTH":
		needs, ok = extAUTH, value != ""
	}
	return s.checkParam(key, needs, ok)
}

// checkParam refuses a parameter that is unknown (needs 0), whose extension was not
// offered, or whose value is wrong.
func (s *session) checkParam(key string, needs extension, valid bool) (refusal string) {
	if s.offer.exts&needs == 0 {
		s.violation(ViolationUnoffered)
		return "555 5.5.4 Unsupported option: " + key
	}
	if !valid {
		s.violation(ViolationSyntax)
		return "501 5.5.4 Invalid argument: " + key
	}
	return ""
}

func (s *session) onRCPT(args []byte) {
	if !s.ready() {
		return
	}
	if !s.tx.open || s.tx.verb != "" {
		if s.tx.verb != "" {
			s.violation(ViolationSequence)
		}
		s.reply("503 5.5.1 MAIL first")
		return
	}
	path, rest, ok := cutPath(args, "TO:")
	if !ok {
		s.refuse(ViolationSyntax, "555 5.5.2 Syntax error in RCPT")
		return
	}
	named := func(ev *fault.Event) { ev.Recipients = []string{string(path)} }
	s.guard(fault.PhaseRcpt, named, func() { s.rcpt(path, rest) })
}

// rcpt adds a recipient.
func (s *session) rcpt(path, rest []byte) {
	if !s.checkPath(path, false) {
		return
	}
	if n := s.ep.limits.Recipients; n > 0 && len(s.tx.rcpts) >= n {
		s.box.Count(func(st *mailbox.Stats) { st.LimitRefusals++ })
		s.reply(s.ep.preset.replies[replyRecipients])
		return
	}
	r := store.Recipient{Path: string(path)}
	for _, p := range bytes.Fields(rest) {
		key, value, _ := strings.Cut(string(p), "=")
		key = strings.ToUpper(key)
		needs := extension(0)
		if key == "NOTIFY" || key == "ORCPT" {
			needs = extDSN
		}
		if refusal := s.checkParam(key, needs, value != ""); refusal != "" {
			s.reply(refusal)
			return
		}
		r.Params = append(r.Params, string(p))
	}
	s.tx.rcpts = append(s.tx.rcpts, r)
	s.reply("250 2.1.5 OK")
}

// cutPath reads "FROM:<path> parameters". Strict: no space before '<', one
// space before the parameters.
func cutPath(args []byte, prefix string) (path, rest []byte, ok bool) {
	if len(args) < len(prefix)+2 || !strings.EqualFold(string(args[:len(prefix)]), prefix) || args[len(prefix)] != '<' {
		return nil, nil, false
	}
	args = args[len(prefix)+1:]
	end := bytes.IndexByte(args, '>')
	if args[0] == '"' { // a quoted local part may contain '>'
		if q := bytes.LastIndexByte(args, '"'); q > 0 {
			if end = bytes.IndexByte(args[q:], '>'); end >= 0 {
				end += q
			}
		}
	}
	if end < 0 || len(args) > end+1 && args[end+1] != ' ' {
		return nil, nil, false
	}
	return args[:end], args[end+1:], true
}

// checkPath reports whether a path is a mailbox, or the null reverse-path. If not,
// it refused.
func (s *session) checkPath(path []byte, reverse bool) bool {
	at := bytes.LastIndexByte(path, '@')
	switch wrong := at <= 0 || at == len(path)-1 || bytes.ContainsAny(path, "\r\n\t<"); {
	case reverse && len(path) == 0:
	case wrong && reverse:
		s.refuse(ViolationSyntax, "553 5.1.7 The sender address is not a valid RFC 5321 address")
		return false
	case wrong:
		s.refuse(ViolationSyntax, "553 5.1.3 The recipient address is not a valid RFC 5321 address")
		return false
	case !s.tx.utf8 && bytes.ContainsFunc(path, func(r rune) bool { return r >= 0x80 }):
		s.refuse(ViolationUnoffered, "553 5.6.7 Address needs SMTPUTF8")
		return false
	}
	return true
}

// parseNumber reads a decimal number of at most 18 digits.
func parseNumber(b []byte) (int64, bool) {
	n, err := strconv.ParseUint(string(b), 10, 63)
	return int64(n), err == nil && len(b) <= 18
}
