package accounting

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// encoder appends rows to a buffer. One goroutine uses it at a time.
type encoder struct {
	json   bool
	fields []*field
	keys   [][]byte // JSON: what stands before each value

	process string // that writes
	version string
	dst     []byte
	scratch []byte
	seconds [4]second
}

// second is the text of a second, up to its fraction.
type second struct {
	unix int64
	text [len("2006-01-02T15:04:05.")]byte
}

// newEncoder returns an encoder of the fields with those names, all of them for none.
func newEncoder(json bool, names []string) *encoder {
	e := &encoder{json: json}
	for i := range fields {
		if f := &fields[i]; len(names) == 0 {
			e.fields = append(e.fields, f)
		}
	}
	for _, name := range names {
		if i := slices.IndexFunc(fields, func(f field) bool { return f.Name == name }); i >= 0 {
			e.fields = append(e.fields, &fields[i])
		}
	}
	for _, f := range e.fields {
		e.keys = append(e.keys, []byte(`,"`+f.Name+`":`))
	}
	return e
}

// header returns the first line of a file; nil for JSON.
func (e *encoder) header() []byte {
	if e.json {
		return nil
	}
	var line []byte
	for _, f := range e.fields {
		line = append(append(line, f.Name...), ',')
	}
	line[len(line)-1] = '\n'
	return line
}

// row appends a line.
func (e *encoder) row(w *row) {
	if e.json {
		e.object(w)
		return
	}
	begin := len(e.dst)
	for i, f := range e.fields {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		f.put(e, w)
	}
	if len(e.dst) == begin { // readers skip empty lines
		e.dst = append(e.dst, `""`...)
	}
	e.dst = append(e.dst, '\n')
}

// object appends a line of JSON. Fields without a value are left out.
func (e *encoder) object(w *row) {
	begin := len(e.dst)
	for i, f := range e.fields {
		mark := len(e.dst)
		e.dst = append(e.dst, e.keys[i]...)
		at := len(e.dst)
		if f.put(e, w); len(e.dst) == at {
			e.dst = e.dst[:mark]
		}
	}
	if len(e.dst) == begin {
		e.dst = append(e.dst, ',')
	}
	e.dst[begin] = '{'
	e.dst = append(e.dst, "}\n"...)
}

// word appends a text of letters, digits and the like, which needs no escapes.
func (e *encoder) word(s string) {
	if s == "" {
		return
	}
	if e.json {
		e.dst = append(append(append(e.dst, '"'), s...), '"')
		return
	}
	e.dst = append(e.dst, s...)
}

func (e *encoder) uint(n uint64) { e.dst = strconv.AppendUint(e.dst, n, 10) }

// nonzero appends a number, nothing for 0.
func (e *encoder) nonzero(n uint64) {
	if n != 0 {
		e.uint(n)
	}
}

// truth appends true, nothing for false.
func (e *encoder) truth(is bool) {
	if is {
		e.dst = append(e.dst, "true"...)
	}
}

// millis appends the milliseconds between two times, nothing if one of them is missing.
func (e *encoder) millis(from, to int64) {
	if from == 0 || to == 0 {
		return
	}
	micros := uint64(max(to-from, 0) / 1000)
	e.uint(micros / 1000)
	f := micros % 1000
	e.dst = append(e.dst, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
}

// time appends nanoseconds since 1970 as RFC 3339 has it, in UTC with milliseconds.
func (e *encoder) time(ns int64) {
	if ns <= 0 {
		return
	}
	unix := ns / int64(time.Second)
	s := &e.seconds[unix%int64(len(e.seconds))]
	if s.unix != unix {
		s.unix = unix
		time.Unix(unix, 0).UTC().AppendFormat(s.text[:0], "2006-01-02T15:04:05.")
	}
	if e.json {
		e.dst = append(e.dst, '"')
	}
	ms := ns / int64(time.Millisecond) % 1000
	e.dst = append(append(e.dst, s.text[:]...), byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
	if e.json {
		e.dst = append(e.dst, '"')
	}
}

// address appends an IP address.
func (e *encoder) address(a netip.Addr) {
	if !a.IsValid() {
		return
	}
	if e.json {
		e.dst = append(a.AppendTo(append(e.dst, '"')), '"')
		return
	}
	e.dst = a.AppendTo(e.dst)
}

// octet says what becomes of an octet of a text.
type octet uint8

const (
	plain  octet = iota
	quoted       // in CSV the field is quoted
	escape       // an escape stands for it, or it is part of a character beyond ASCII
)

var octets = func() (of [256]octet) {
	for b := range of {
		if b < ' ' || b >= 0x7f || b == '\\' {
			of[b] = escape
		}
	}
	of[','], of['"'], of[' '] = quoted, quoted, plain
	return of
}()

// text appends a text of others.
func text[T string | []byte](e *encoder, s T) {
	if len(s) == 0 {
		return
	}
	odd := plain
	for i := range len(s) {
		odd |= octets[s[i]]
	}
	switch {
	case e.json && odd == plain:
		e.dst = append(append(append(e.dst, '"'), s...), '"')
	case e.json:
		e.dst = jsonText(e.dst, s)
	case odd == plain && !isFormula(s):
		e.dst = append(e.dst, s...)
	default:
		e.dst = csvText(e.dst, s)
	}
}

// isFormula reports whether a spreadsheet would take s for a formula, or for one that has an
// apostrophe before it.
func isFormula[T string | []byte](s T) bool {
	i := 0
	for i < len(s) && s[i] == '\'' {
		i++
	}
	return i < len(s) && (s[i] == '=' || s[i] == '+' || s[i] == '-' || s[i] == '@')
}

// csvText appends s in quotation marks. An apostrophe stands before what a spreadsheet would
// take for a formula; \xHH for an octet that is a control character or not UTF-8; \\ for a
// backslash. So a record is one line.
func csvText[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	if isFormula(s) {
		dst = append(dst, '\'')
	}
	for i := 0; i < len(s); {
		b := s[i]
		switch size := character(s[i:]); {
		case b == '"':
			dst = append(dst, `""`...)
		case b == '\\':
			dst = append(dst, `\\`...)
		case size == 0:
			dst = hex(append(dst, `\x`...), b)
		default:
			dst = append(dst, s[i:i+size]...)
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}

// jsonText appends s as a JSON string. \xHH stands, as a text, for an octet that is not UTF-8.
func jsonText[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		b := s[i]
		switch size := character(s[i:]); {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b < ' ' || b == 0x7f:
			dst = hex(append(dst, `\u00`...), b)
		case size == 0 && isC1(s[i:]):
			dst = hex(append(dst, `\u00`...), s[i+1])
			i++
		case size == 0:
			dst = hex(append(dst, `\\x`...), b)
		default:
			dst = append(dst, s[i:i+size]...)
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}

// character returns the size of the character that s begins with; 0 for a control
// character, and for an octet that is not UTF-8.
func character[T string | []byte](s T) int {
	switch b := s[0]; {
	case b < ' ' || b == 0x7f:
		return 0
	case b < utf8.RuneSelf:
		return 1
	}
	r, size := utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
	if r == utf8.RuneError && size == 1 || isC1(s) {
		return 0
	}
	return size
}

// isC1 reports whether s begins with a control character beyond ASCII.
func isC1[T string | []byte](s T) bool {
	return len(s) > 1 && s[0] == 0xc2 && s[1] < 0xa0 && s[1] >= 0x80
}

func hex(dst []byte, b byte) []byte {
	const digits = "0123456789abcdef"
	return append(dst, digits[b>>4], digits[b&15])
}

// Plain returns the text that a field of a CSV file stands for: what [encoding/csv] reads,
// without the escapes.
func Plain(field string) string {
	if isFormula(field) && field[0] == '\'' {
		field = field[1:]
	}
	out := make([]byte, 0, len(field))
	for i := 0; i < len(field); i++ {
		switch rest := field[i:]; {
		case strings.HasPrefix(rest, `\\`):
			i++
		case strings.HasPrefix(rest, `\x`) && len(rest) >= len(`\xHH`):
			if n, err := strconv.ParseUint(rest[2:4], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 3
				continue
			}
		}
		out = append(out, field[i])
	}
	return string(out)
}
