package codec

import "bytes"

// Caps for lines, in octets including CRLF.
const (
	// MaxCommandLine leaves room for every parameter known here on top of the
	// 512 octets of RFC 5321 section 4.5.3.1.4.
	MaxCommandLine = 2048
	// MaxAuthLine is the cap of RFC 4954 section 4 for AUTH and for the lines
	// of its exchange.
	MaxAuthLine = 12288 + 2
)

// LineEnd says what ends a line of the client.
type LineEnd bool

const (
	// EndCRLF: CRLF ends a line, and nothing else (RFC 5321 section 2.3.8).
	EndCRLF LineEnd = false
	// EndLF: an LF without a CR before it ends a line too.
	EndLF LineEnd = true
)

// Verb is an SMTP command verb.
type Verb uint8

// The verbs. VerbUnknown, the zero value, stands for all others.
const (
	VerbUnknown Verb = iota
	VerbEHLO
	VerbHELO
	VerbAUTH
	VerbMAIL
	VerbRCPT
	VerbDATA
	VerbBDAT
	VerbRSET
	VerbNOOP
	VerbVRFY
	VerbEXPN
	VerbHELP
	VerbQUIT
	VerbSTARTTLS
	// VerbHTTP is no verb of SMTP: it stands for the request line of HTTP.
	VerbHTTP
	// NumVerbs is the number of verbs, for tables.
	NumVerbs
)

var verbNames = [NumVerbs]string{
	VerbUnknown:  "unknown",
	VerbEHLO:     "EHLO",
	VerbHELO:     "HELO",
	VerbAUTH:     "AUTH",
	VerbMAIL:     "MAIL",
	VerbRCPT:     "RCPT",
	VerbDATA:     "DATA",
	VerbBDAT:     "BDAT",
	VerbRSET:     "RSET",
	VerbNOOP:     "NOOP",
	VerbVRFY:     "VRFY",
	VerbEXPN:     "EXPN",
	VerbHELP:     "HELP",
	VerbQUIT:     "QUIT",
	VerbSTARTTLS: "STARTTLS",
	VerbHTTP:     "HTTP",
}

// String returns the verb in upper case, "unknown" for VerbUnknown.
func (v Verb) String() string {
	if v < NumVerbs {
		return verbNames[v]
	}
	return verbNames[VerbUnknown]
}

// Command is one command line taken apart.
type Command struct {
	Verb Verb
	// Args is what follows the verb, without white space around it. It borrows
	// from the input of ParseCommand.
	Args []byte
}

// ParseCommand reads the command line at the start of b (RFC 5321 section
// 4.1.1). The verb is matched without regard to case; a line without a known
// verb, also an empty one, is VerbUnknown, unless it is a request line of HTTP:
// then it is VerbHTTP, and n may be short of its end if it is too long. n is the number of octets to
// discard, which is the whole line with its end when err is nil.
//
// Errors: ErrIncomplete (n is 0), ErrLineTooLong above LineCap and ErrBareLF (the n octets
// are part of the line but not its end, the rest is for SkipLine), ErrBareNewline (n is
// the whole line).
func ParseCommand(b []byte, ends LineEnd) (cmd Command, n int, err error) {
	line, n, err := ParseLine(b, LineCap(b), ends)
	if err != nil {
		if word, _ := cutWord(bytes.TrimRight(b[:n], "\r\n")); verbOrHTTP(word, b[:n]) == VerbHTTP {
			return Command{Verb: VerbHTTP}, n, nil
		}
		return Command{}, n, err
	}
	word, args := cutWord(line)
	return Command{Verb: verbOrHTTP(word, line), Args: trimRightSpace(args)}, n, nil
}

// verbOrHTTP returns the verb of a line that begins with word, or VerbHTTP.
func verbOrHTTP(word, line []byte) Verb {
	verb := verbOf(word)
	if verb == VerbUnknown && isHTTP(word, line) {
		return VerbHTTP
	}
	return verb
}

// LineCap returns the cap for the command line that starts with b: MaxAuthLine for AUTH,
// MaxCommandLine for the others.
func LineCap(b []byte) int {
	if len(b) > 4 && isSpace(b[4]) && verbOf(b[:4]) == VerbAUTH {
		return MaxAuthLine
	}
	return MaxCommandLine
}

func verbOf(word []byte) Verb {
	var buf [upperWord]byte
	switch string(upperInto(&buf, word)) {
	case "MAIL":
		return VerbMAIL
	case "RCPT":
		return VerbRCPT
	case "DATA":
		return VerbDATA
	case "BDAT":
		return VerbBDAT
	case "RSET":
		return VerbRSET
	case "EHLO":
		return VerbEHLO
	case "HELO":
		return VerbHELO
	case "AUTH":
		return VerbAUTH
	case "NOOP":
		return VerbNOOP
	case "VRFY":
		return VerbVRFY
	case "EXPN":
		return VerbEXPN
	case "HELP":
		return VerbHELP
	case "QUIT":
		return VerbQUIT
	case "STARTTLS":
		return VerbSTARTTLS
	}
	return VerbUnknown
}

// ParseLine reads the line at the start of b, at most limit octets with its
// end, as in an AUTH exchange (RFC 4954 section 4). line comes without its end
// and borrows from b. n and the errors are those of ParseCommand.
func ParseLine(b []byte, limit int, ends LineEnd) (line []byte, n int, err error) {
	i := bytes.IndexByte(b[:min(len(b), limit)], '\n')
	if i < 0 {
		if len(b) < limit {
			return nil, 0, ErrIncomplete
		}
		n = limit
		if n > 0 && b[n-1] == '\r' {
			n-- // may be the first half of the line end that SkipLine looks for
		}
		return nil, n, ErrLineTooLong
	}
	line = b[:i]
	switch {
	case i > 0 && b[i-1] == '\r':
		line = b[:i-1]
	case ends == EndCRLF:
		return nil, i + 1, ErrBareLF
	}
	if bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, 0) >= 0 {
		return nil, i + 1, ErrBareNewline
	}
	return line, i + 1, nil
}

var crlf, lf = []byte("\r\n"), []byte("\n")

// SkipLine discards the rest of a refused line: n octets of b are part of it, and done
// is true when they include its end. A CR at the end of b stays, since its LF may be
// yet to come.
func SkipLine(b []byte, ends LineEnd) (n int, done bool) {
	end := crlf
	if ends == EndLF {
		end = lf
	}
	if i := bytes.Index(b, end); i >= 0 {
		return i + len(end), true
	}
	if len(b) > 0 && b[len(b)-1] == '\r' {
		return len(b) - 1, false
	}
	return len(b), false
}
