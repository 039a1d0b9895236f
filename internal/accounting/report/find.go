package report

import (
	"strconv"
	"strings"

	"xoauth2-proxy/internal/accounting/reading"
)

// Query is what records are looked for by.
type Query struct {
	text   string
	folded bool
}

// NewQuery returns the query for a Message-ID, an address of the envelope, an ENVID or a session.
// Angle brackets around it do not matter. A domain is the same in any case, the rest is not
// (RFC 5321 section 2.4), unless anyCase is true.
func NewQuery(text string, anyCase bool) Query {
	return Query{bare(text), anyCase}
}

// Matches reports whether the record is about what q looks for.
func (q Query) Matches(w *reading.Row) bool {
	for _, f := range [...]reading.Field{reading.Rcpt, reading.Orig} {
		if q.isAddress(w.Get(f)) {
			return true
		}
	}
	if _, address, ok := strings.Cut(w.Get(reading.ORcpt), ";"); ok && q.isAddress(xtext(address)) {
		return true
	}
	envid := w.Get(reading.EnvID)
	return q.is(bare(w.Get(reading.MessageID))) || q.is(envid) || q.is(xtext(envid)) || q.is(w.Get(reading.Session))
}

func (q Query) is(value string) bool {
	return value != "" && (value == q.text || q.folded && strings.EqualFold(value, q.text))
}

// isAddress compares addresses.
func (q Query) isAddress(value string) bool {
	value = bare(value)
	at, ours := strings.LastIndexByte(value, '@'), strings.LastIndexByte(q.text, '@')
	return q.is(value) || at >= 0 && at == ours && value[:at] == q.text[:ours] &&
		strings.EqualFold(value[at:], q.text[ours:])
}

// bare returns text without white space and angle brackets around it.
func bare(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 2 && text[0] == '<' && text[len(text)-1] == '>' {
		return text[1 : len(text)-1]
	}
	return text
}

// xtext decodes a value of RFC 3461 section 4. What is none comes back as it is.
func xtext(text string) string {
	if !strings.Contains(text, "+") {
		return text
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		if rest[0] != '+' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if len(rest) < 3 {
			return text
		}
		octet, err := strconv.ParseUint(rest[1:3], 16, 8)
		if err != nil {
			return text
		}
		b.WriteByte(byte(octet))
		rest = rest[3:]
	}
	return b.String()
}
