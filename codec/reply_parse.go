package codec

import "bytes"

// MaxReply caps an upstream's reply, all of its lines together, in octets.
const MaxReply = 64 << 10

// ParseReply reads the reply at the start of b; n is its length. It accepts LF
// as a line end and lines without text. If every line starts with the same
// enhanced code, and its class fits the reply code, that goes to Enhanced,
// else it stays in Text: for a reply in the form of AppendTo, AppendTo gives
// the same octets again.
//
// A refusal may have lines of differing codes, and after the first line lines
// without a code: if all codes are 4yz, or all are 5yz, the last one is the
// reply's. The lines of any other reply must have one code.
//
// Errors: ErrIncomplete until the last line is there, ErrReplySyntax,
// ErrReplyTooLong above MaxReply; n is 0 then.
func ParseReply(b []byte) (r Reply, n int, err error) {
	lines, last := 0, false
	for !last {
		line, size, err := replyLine(b, n)
		if err != nil {
			return Reply{}, 0, err
		}
		code, isLast, ok := replyHead(line)
		refused := r.Code >= 400 // by the lines so far
		switch {
		case !ok && refused:
		case !ok, lines > 0 && code != r.Code && (!refused || code/100 != r.Code/100):
			return Reply{}, 0, ErrReplySyntax
		default:
			r.Code, last = code, isLast
		}
		n += size
		lines++
	}
	r.setText(b[:n], lines)
	return r, n, nil
}

// MayEnd reports whether a reply may end in b[from:], or be malformed there: whether one of
// its whole lines is neither a continuation line nor one without a code of a refusal. next
// is the from for the next call, when b has grown: the start of that line, or of the first
// one that is not whole. A reader that calls ParseReply only then reads a reply of many
// lines in linear time, however it arrives.
func MayEnd(b []byte, from int) (ends bool, next int) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return false, from
		}
		_, last, coded := replyHead(chopLine(b[from : from+i+1]))
		refusal := b[0] == '4' || b[0] == '5' // whose later lines may have no code
		if last || !coded && (from == 0 || !refusal) {
			return true, from
		}
		from += i + 1
	}
}

// replyLine returns the line at b[from:] without its line end, and its length
// with it.
func replyLine(b []byte, from int) (line []byte, size int, err error) {
	i := bytes.IndexByte(b[from:min(len(b), MaxReply)], '\n')
	if i < 0 {
		if len(b) >= MaxReply {
			return nil, 0, ErrReplyTooLong
		}
		return nil, 0, ErrIncomplete
	}
	return chopLine(b[from : from+i+1]), i + 1, nil
}

// chopLine cuts LF or CRLF off a line that has it.
func chopLine(b []byte) []byte {
	b = b[:len(b)-1]
	if len(b) > 0 && b[len(b)-1] == '\r' {
		b = b[:len(b)-1]
	}
	return b
}

// replyHead reads the code of one line and what follows it.
func replyHead(line []byte) (code int, last, ok bool) {
	if len(line) < 3 || !allOf(line[:3], classDigit) {
		return 0, false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if code < 200 || code > 599 {
		return 0, false, false
	}
	if len(line) == 3 {
		return code, true, true
	}
	return code, line[3] == ' ', line[3] == ' ' || line[3] == '-'
}

// setText fills in Enhanced and Text from the lines of a whole reply.
func (r *Reply) setText(b []byte, lines int) {
	first, _, others := nextText(b)
	r.Enhanced = r.enhancedAt(first)
	for rest := others; len(rest) > 0 && !r.Enhanced.IsZero(); {
		var text []byte
		var coded bool
		if text, coded, rest = nextText(rest); coded && r.enhancedAt(text) != r.Enhanced {
			r.Enhanced = EnhancedCode{}
		}
	}
	if lines == 1 {
		r.Text = cleanText(r.afterEnhanced(first))
		return
	}
	all := append(make([]byte, 0, len(b)), r.afterEnhanced(first)...)
	for rest := others; len(rest) > 0; {
		var text []byte
		var coded bool
		if text, coded, rest = nextText(rest); coded {
			text = r.afterEnhanced(text)
		}
		all = append(all, '\n')
		all = append(all, text...)
	}
	r.Text = cleanText(all)
}

// nextText returns the text of the first line of b and the lines after it. coded says
// that the line has a code, which is cut off with its separator.
func nextText(b []byte) (text []byte, coded bool, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	text, rest = chopLine(b[:i+1]), b[i+1:]
	if _, _, coded = replyHead(text); coded {
		text = text[min(len(text), 4):]
	}
	return text, coded, rest
}

// cleanText returns b as a string for Reply.Text, without CR and NUL.
func cleanText(b []byte) string {
	if bytes.IndexByte(b, '\r') < 0 && bytes.IndexByte(b, 0) < 0 {
		return string(b)
	}
	b = bytes.Clone(b)
	blank(b)
	return string(b)
}

// enhancedAt returns the enhanced code that text starts with, zero if there is
// none that fits the reply code. Leading zeros and a lone space after the
// code are not taken, since AppendTo would not write them.
func (r *Reply) enhancedAt(text []byte) (e EnhancedCode) {
	class := r.Code / 100
	if class == 3 || len(text) < 5 || int(text[0]-'0') != class || text[1] != '.' {
		return EnhancedCode{}
	}
	subject, i, ok := statusNumber(text, 2)
	if !ok || i >= len(text) || text[i] != '.' {
		return EnhancedCode{}
	}
	detail, i, ok := statusNumber(text, i+1)
	if !ok || i < len(text) && text[i] != ' ' || i == len(text)-1 {
		return EnhancedCode{}
	}
	return EnhancedCode{uint16(class), subject, detail}
}

// statusNumber reads one to three digits at text[i:]; next is the index after
// them.
func statusNumber(text []byte, i int) (v uint16, next int, ok bool) {
	start := i
	for i < len(text) && i < start+3 && isClass(text[i], classDigit) {
		v = v*10 + uint16(text[i]-'0')
		i++
	}
	return v, i, i == start+1 || i > start && text[start] != '0'
}

// afterEnhanced cuts the enhanced code, which text is known to start with if r
// has one, and the space after it.
func (r *Reply) afterEnhanced(text []byte) []byte {
	if r.Enhanced.IsZero() {
		return text
	}
	i := bytes.IndexByte(text, ' ')
	if i < 0 {
		return nil
	}
	return text[i+1:]
}
