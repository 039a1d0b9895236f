package smtpclient

import (
	"cmp"
	"strconv"
	"strings"
)

// provider is an SMTP server that answers what it has read so far. A command without an
// answer of its own is taken where SMTP allows it.
type provider struct {
	// answers are by verb, "." for the end of what DATA begins; several are given one
	// after the other, the last one for good. "": as SMTP has it.
	answers map[string][]string

	in      string
	reading bool // content
	chunk   int  // octets of it that BDAT announced
	mail    bool
	rcpts   int
	closed  bool
	taken   []string // contents
}

// read returns the replies to what has come in.
func (p *provider) read(s string) string {
	p.in += s
	var out strings.Builder
	for !p.closed {
		reply, ok := p.next()
		if !ok {
			break
		}
		p.closed = strings.HasPrefix(reply, "421") || strings.HasPrefix(reply, "221")
		out.WriteString(reply)
	}
	return out.String()
}

// next handles the next command or content, if it is all there.
func (p *provider) next() (reply string, ok bool) {
	if p.reading {
		return p.content()
	}
	line, rest, whole := strings.Cut(p.in, "\r\n")
	if !whole {
		return "", false
	}
	p.in = rest
	verb, args, _ := strings.Cut(line, " ")
	reply = "250 2.0.0 OK\r\n"
	switch verb {
	case "MAIL":
		if p.mail {
			reply = "503 5.5.1 nested\r\n"
		}
		reply = p.answer(verb, reply)
		p.mail, p.rcpts = p.mail || reply[0] == '2', 0
	case "RCPT":
		if !p.mail {
			reply = "503 5.5.1 no MAIL\r\n"
		}
		if reply = p.answer(verb, reply); reply[0] == '2' {
			p.rcpts++
		}
	case "DATA":
		reply = "354 go\r\n"
		if p.rcpts == 0 {
			reply = "503 5.5.1 no RCPT\r\n"
		}
		reply = p.answer(verb, reply)
		p.reading = reply[:3] == "354"
	case "BDAT":
		n, err := strconv.Atoi(strings.TrimSuffix(args, " LAST"))
		if err != nil {
			return "501 5.5.4 what\r\n", true
		}
		p.chunk, p.reading = n, true
		return p.next()
	case "RSET":
		p.mail = false
		reply = p.answer(verb, reply)
	case "QUIT":
		reply = p.answer(verb, "221 2.0.0 bye\r\n")
	default:
		reply = "500 5.5.2 what\r\n"
	}
	return reply, true
}

// content handles content, if it is all there.
func (p *provider) content() (reply string, ok bool) {
	verb, text := ".", ""
	switch {
	case p.chunk > len(p.in):
		return "", false
	case p.chunk > 0:
		verb, text, p.in = "BDAT", p.in[:p.chunk], p.in[p.chunk:]
	case strings.HasPrefix(p.in, ".\r\n"):
		p.in = p.in[3:]
	default:
		before, rest, whole := strings.Cut(p.in, "\r\n.\r\n")
		if !whole {
			return "", false
		}
		text, p.in = before+"\r\n", rest
		text = strings.ReplaceAll(text, "\r\n..", "\r\n.")
		if strings.HasPrefix(text, "..") {
			text = text[1:]
		}
	}
	p.reading, p.chunk = false, 0
	reply = "250 2.0.0 OK\r\n"
	if p.rcpts == 0 {
		reply = "503 5.5.1 no RCPT\r\n"
	}
	p.mail, p.rcpts = false, 0
	if reply = p.answer(verb, reply); reply[0] == '2' {
		p.taken = append(p.taken, text)
	}
	return reply, true
}

// answer is the next answer to the verb.
func (p *provider) answer(verb, otherwise string) string {
	all := p.answers[verb]
	if len(all) == 0 {
		return otherwise
	}
	if len(all) > 1 {
		p.answers[verb] = all[1:]
	}
	return cmp.Or(all[0], otherwise)
}
