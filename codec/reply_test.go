package codec_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"xoauth2-proxy/codec"
)

func TestReplyAppendTo(t *testing.T) {
	tests := []struct {
		reply codec.Reply
		want  string
	}{
		{codec.ReplyOK, "250 2.0.0 OK\r\n"},
		{codec.ReplyStartData, "354 Start mail input; end with <CRLF>.<CRLF>\r\n"},
		{codec.ReplyTempAuthFailure, "454 4.7.0 Temporary authentication failure\r\n"},
		{codec.ReplyAskResponse, "334 \r\n"},
		{codec.Reply{Code: 220, Text: "mail.example ESMTP"}, "220 mail.example ESMTP\r\n"},
		{codec.Reply{Code: 250, Text: "mail.example\nSIZE 100\nDSN"}, "250-mail.example\r\n250-SIZE 100\r\n250 DSN\r\n"},
		{codec.Reply{Code: 550, Enhanced: codec.EnhancedCode{5, 1, 1}, Text: "a\n\nb"}, "550-5.1.1 a\r\n550-5.1.1\r\n550 5.1.1 b\r\n"},
		{codec.Reply{Code: 550, Text: "a\rb\r\nc\x00"}, "550-a b \r\n550 c \r\n"},
	}
	for _, tt := range tests {
		if got := string(tt.reply.AppendTo([]byte("x"))); got != "x"+tt.want {
			t.Errorf("got %q, want x%q", got, tt.want)
		}
	}
}

func TestReplyClasses(t *testing.T) {
	tests := []struct {
		code                           int
		positive, transient, permanent bool
	}{
		{0, false, false, false}, {199, false, false, false}, {200, true, false, false}, {354, true, false, false},
		{399, true, false, false}, {400, false, true, false}, {499, false, true, false}, {500, false, false, true}, {599, false, false, true}, {600, false, false, false},
	}
	for _, tt := range tests {
		r := codec.Reply{Code: tt.code}
		if r.Positive() != tt.positive || r.Transient() != tt.transient || r.Permanent() != tt.permanent || r.IsZero() != (tt.code == 0) {
			t.Errorf("%d: %v %v %v %v", tt.code, r.Positive(), r.Transient(), r.Permanent(), r.IsZero())
		}
	}
}

func TestReplyString(t *testing.T) {
	for want, r := range map[string]codec.Reply{
		"no reply":         codec.NoReply,
		"250 2.0.0 OK":     codec.ReplyOK,
		"550 5.1.1 a / b":  {Code: 550, Enhanced: codec.EnhancedCode{5, 1, 1}, Text: "a\nb"},
		"354":              {Code: 354},
		"421 4.3.2 closed": {Code: 421, Enhanced: codec.EnhancedCode{4, 3, 2}, Text: "closed"},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEnhancedCodeString(t *testing.T) {
	if got := (codec.EnhancedCode{5, 7, 515}).String(); got != "5.7.515" {
		t.Errorf("got %q", got)
	}
	if e := (codec.EnhancedCode{}); !e.IsZero() || e.String() != "0.0.0" {
		t.Errorf("zero value: %v", e)
	}
}

func TestParseReply(t *testing.T) {
	tests := []struct {
		name, in string
		want     codec.Reply
	}{
		{"plain", "250 OK\r\n", codec.Reply{Code: 250, Text: "OK"}},
		{"enhanced", "250 2.0.0 OK  1700000000 x-20020a - gsmtp\r\n", codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 0, 0}, Text: "OK  1700000000 x-20020a - gsmtp"}},
		{"large enhanced numbers", "550 5.7.515 Access denied\r\n", codec.Reply{Code: 550, Enhanced: codec.EnhancedCode{5, 7, 515}, Text: "Access denied"}},
		{"enhanced without text", "250 2.0.0\r\n", codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 0, 0}}},
		{"no text", "250\r\n", codec.Reply{Code: 250}},
		{"no text, space", "250 \r\n", codec.Reply{Code: 250}},
		{"LF", "250-a\n250 b\n", codec.Reply{Code: 250, Text: "a\nb"}},
		{"multiline", "550-5.1.1 The account\r\n550-5.1.1 does not exist.\r\n550 5.1.1  https://support.example\r\n", codec.Reply{Code: 550, Enhanced: codec.EnhancedCode{5, 1, 1}, Text: "The account\ndoes not exist.\n https://support.example"}},
		{"multiline, empty line", "550-5.1.1 a\r\n550-5.1.1\r\n550 5.1.1 b\r\n", codec.Reply{Code: 550, Enhanced: codec.EnhancedCode{5, 1, 1}, Text: "a\n\nb"}},
		{"different enhanced codes", "550-5.1.1 a\r\n550 5.1.2 b\r\n", codec.Reply{Code: 550, Text: "5.1.1 a\n5.1.2 b"}},
		{"enhanced in the first line only", "550-5.1.1 a\r\n550 b\r\n", codec.Reply{Code: 550, Text: "5.1.1 a\nb"}},
		{"enhanced of another class", "550 4.1.1 a\r\n", codec.Reply{Code: 550, Text: "4.1.1 a"}},
		{"leading zero", "550 5.01.1 a\r\n", codec.Reply{Code: 550, Text: "5.01.1 a"}},
		{"four digits", "550 5.1.1000 a\r\n", codec.Reply{Code: 550, Text: "5.1.1000 a"}},
		{"version, no code", "220 2.0.x server\r\n", codec.Reply{Code: 220, Text: "2.0.x server"}},
		{"two numbers", "250 2.0 ok\r\n", codec.Reply{Code: 250, Text: "2.0 ok"}},
		{"lone space after the code", "250 2.0.0 \r\n", codec.Reply{Code: 250, Text: "2.0.0 "}},
		{"3yz has none", "354 3.0.0 go\r\n", codec.Reply{Code: 354, Text: "3.0.0 go"}},
		{"CR and NUL in the text", "250-a\rb\r\n250 \x00\r\n", codec.Reply{Code: 250, Text: "a b\n "}},
		{"EHLO", "250-mail.example at your service\r\n250-SIZE 35882577\r\n250 SMTPUTF8\r\n", codec.Reply{Code: 250, Text: "mail.example at your service\nSIZE 35882577\nSMTPUTF8"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for cut := range len(tt.in) {
				if r, n, err := codec.ParseReply([]byte(tt.in[:cut])); err != codec.ErrIncomplete || n != 0 || !r.IsZero() {
					t.Errorf("ParseReply(%q) = %v, %d, %v, want ErrIncomplete", tt.in[:cut], r, n, err)
				}
			}
			for _, after := range []string{"", "221 bye\r\n", "x"} {
				r, n, err := codec.ParseReply([]byte(tt.in + after))
				if r != tt.want || n != len(tt.in) || err != nil {
					t.Errorf("got %+v, %d, %v, want %+v", r, n, err, tt.want)
				}
			}
		})
	}
}

func TestParseReplyRefuses(t *testing.T) {
	long := strings.Repeat("250-"+strings.Repeat("x", 60)+"\r\n", codec.MaxReply/66)
	tests := []struct {
		name, in string
		err      error
	}{
		{"empty line", "\r\n", codec.ErrReplySyntax},
		{"two digits", "25\r\n", codec.ErrReplySyntax},
		{"letters", "2x0 OK\r\n", codec.ErrReplySyntax},
		{"four digits", "2500 OK\r\n", codec.ErrReplySyntax},
		{"no separator", "250OK\r\n", codec.ErrReplySyntax},
		{"code too low", "199 OK\r\n", codec.ErrReplySyntax},
		{"code too high", "600 OK\r\n", codec.ErrReplySyntax},
		{"different codes", "250-a\r\n251 b\r\n", codec.ErrReplySyntax},
		{"different codes, more to come", "250-a\r\n251-b\r\n", codec.ErrReplySyntax},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n", codec.ErrReplySyntax},
		{"not yet too long", long, codec.ErrIncomplete},
		{"too long", long + long, codec.ErrReplyTooLong},
		{"too long, but whole", long + long + "250 x\r\n", codec.ErrReplyTooLong},
		{"one long line", strings.Repeat("2", codec.MaxReply), codec.ErrReplyTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r, n, err := codec.ParseReply([]byte(tt.in)); err != tt.err || n != 0 || !r.IsZero() {
				t.Errorf("got %v, %d, %v, want %v", r, n, err, tt.err)
			}
		})
	}
}

// TestParseReplyOfDifferingCodes: a refusal is one whatever its lines' codes are, as long as
// they have one class; a line without a code belongs to it.
func TestParseReplyOfDifferingCodes(t *testing.T) {
	for _, tt := range []struct{ in, want string }{ // want "": ErrReplySyntax
		{"550-5.1.1 a\r\n551 5.1.1 b\r\n", "551 5.1.1 a / b"},
		{"550-5.1.1 a\r\n554 5.7.1 b\r\n", "554 5.1.1 a / 5.7.1 b"},
		{"450-a\r\n451-b\r\n452 c\r\n", "452 a / b / c"},
		{"550-a\r\nb\r\n550 c\r\n", "550 a / b / c"},
		{"550-5.1.1 a\r\n b: see https://x.example\r\n550 5.1.1 c\r\n", "550 5.1.1 a /  b: see https://x.example / c"},
		{"550-5.1.1 a\r\n\r\n551 5.1.1 c\r\n", "551 5.1.1 a /  / c"},
		{"421-a\n12345 letters\n4 x\n421\n", "421 a / 12345 letters / 4 x / "},
		{"550-a\r\n5500 b\r\n550 c\r\n", "550 a / 5500 b / c"},
		{"550-a\r\n450 b\r\n", ""}, {"450-a\r\n550 b\r\n", ""}, {"250-a\r\n550 b\r\n", ""}, {"550-a\r\n250 b\r\n", ""},
		{"550-a\r\nb\r\n250 c\r\n", ""}, {"354-a\r\n355 b\r\n", ""}, {"250-a\r\nb\r\n250 c\r\n", ""}, {"354-a\r\nb\r\n", ""},
		{"a\r\n550 b\r\n", ""},
	} {
		for cut := range len(tt.in) {
			if _, n, err := codec.ParseReply([]byte(tt.in[:cut])); n != 0 || err != codec.ErrIncomplete && (tt.want != "" || err != codec.ErrReplySyntax) {
				t.Errorf("ParseReply(%q): %d, %v", tt.in[:cut], n, err)
			}
		}
		r, n, err := codec.ParseReply([]byte(tt.in + "250 next\r\n"))
		switch {
		case tt.want == "":
			if err != codec.ErrReplySyntax {
				t.Errorf("%q: %v, %v", tt.in, r, err)
			}
		case err != nil || n != len(tt.in) || r.String() != tt.want:
			t.Errorf("%q: %q, %d, %v; want %q", tt.in, r, n, err, tt.want)
		}
	}
}

// TestReplyIsFolded: no line is longer than 512 octets, each has the codes, and all
// characters are there.
func TestReplyIsFolded(t *testing.T) {
	words := strings.Repeat("word ", 400) + "end"
	for _, tt := range []struct {
		name, text string
		lines      int // without an enhanced code
	}{
		{"one that just fits", strings.Repeat("x", 506), 1},
		{"words", words, 4},
		{"one word", strings.Repeat("x", 2000), 4},
		{"UTF-8", strings.Repeat("\u20ac", 700), 5},
		{"no UTF-8", strings.Repeat("\x80", 1000), 2},
		{"several lines", "a\n" + words + "\nb", 6},
		{"spaces", strings.Repeat(" ", 600), 2},
	} {
		for _, enhanced := range []codec.EnhancedCode{{}, {5, 7, 1}} {
			r := codec.Reply{Code: 550, Enhanced: enhanced, Text: tt.text}
			wire := string(r.AppendTo(nil))
			lines := strings.SplitAfter(strings.TrimSuffix(wire, "\r\n"), "\r\n")
			var text []string
			for i, line := range lines {
				head := "550-"
				if i == len(lines)-1 {
					head = "550 "
				}
				if !enhanced.IsZero() {
					head += "5.7.1 "
				}
				line = strings.TrimSuffix(line, "\r\n")
				rest, ok := strings.CutPrefix(line, head)
				if !ok || len(line) > 510 {
					t.Errorf("%s: line %d has %d octets and begins with %.12q", tt.name, i, len(line), line)
				}
				if utf8.ValidString(tt.text) && !utf8.ValidString(rest) {
					t.Errorf("%s: line %d cuts a character", tt.name, i)
				}
				text = append(text, rest)
			}
			if enhanced.IsZero() && len(lines) != tt.lines {
				t.Errorf("%s: %d lines, want %d", tt.name, len(lines), tt.lines)
			}
			blanks := strings.NewReplacer(" ", "", "\n", "")
			if blanks.Replace(strings.Join(text, "")) != blanks.Replace(tt.text) {
				t.Errorf("%s: the text became %q", tt.name, text)
			}
			if again, n, err := codec.ParseReply([]byte(wire)); err != nil || n != len(wire) || again.Enhanced != enhanced {
				t.Errorf("%s: read again: %v, %d, %v", tt.name, again.Enhanced, n, err)
			}
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string][2]string{ // without and with UTF-8
		"plain ~ text":                 {"plain ~ text", "plain ~ text"},
		"tab\tand\nline":               {"tab\tand\nline", "tab\tand\nline"},
		"\x1b[31mred\x07\x00\x7f":      {"?[31mred???", "?[31mred???"},
		"caf\u00e9 \u20ac":             {"caf? ?", "caf\u00e9 \u20ac"},
		"c1 \u009b31m":                 {"c1 ?31m", "c1 ?31m"},
		"bidi \u202e, \u2066":          {"bidi ?, ?", "bidi ?, ?"},
		"\u2028\ufeff\u200b":           {"???", "???"},
		"latin \xe9\xff, cut \xe2\x82": {"latin ??, cut ??", "latin ??, cut ??"},
		"surrogate \xed\xa0\x80":       {"surrogate ???", "surrogate ???"},
		"\ufffd":                       {"?", "?"},
		"vertical\x0b\x0c\x85":         {"vertical???", "vertical???"},
	} {
		for i, keep := range []bool{false, true} {
			if got := codec.Printable(in, keep); got != want[i] {
				t.Errorf("Printable(%q, %v) = %q, want %q", in, keep, got, want[i])
			}
		}
	}
}

func TestReplyForContent(t *testing.T) {
	for err, want := range map[error]int{
		codec.ErrBareLF: 554, codec.ErrBareCR: 554, codec.ErrTooBig: 552, codec.ErrBudget: 452, bytes.ErrTooLarge: 451,
	} {
		if got := codec.ReplyForContent(err); got.Code != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"250 2.0.0 OK\r\n", "250-2.0.0 a\r\n250 2.0.0 b\r\n", "250\r\n", "250-\n250 \n", "550 5.1.1\r\n", "550 5.1.1 \r\n",
		"250-a\r\n251 b\r\n", "354 go\r\nx", "250 \r\r\n", "550-5.1.1 a\r\n550-5.1.1\r\n550 b\r\n",
		"550-5.1.1 a\r\nb\r\n551 5.1.1 c\r\n", "550 " + strings.Repeat("x", 600) + "\r\n",
	} {
		f.Add([]byte(s), uint16(4))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		r, n, err := codec.ParseReply(in)
		at := int(cut) % (len(in) + 1)
		if r2, n2, err2 := codec.ParseReply(in[:at]); err2 != codec.ErrIncomplete && (r2 != r || n2 != n || err2 != err) {
			t.Fatalf("whole %v, %d, %v; first %d octets %v, %d, %v", r, n, err, at, r2, n2, err2)
		}
		if err != nil {
			return
		}
		wire := r.AppendTo(nil)
		if canonical(in[:n]) && !bytes.Equal(wire, in[:n]) {
			t.Fatalf("%q became %q", in[:n], wire)
		}
		if len(wire) > codec.MaxReply {
			return
		}
		again, m, err := codec.ParseReply(wire)
		if !bytes.Equal(again.AppendTo(nil), wire) || m != len(wire) || err != nil {
			t.Fatalf("%q: %+v became %+v, %d, %v", wire, r, again, m, err)
		}
	})
}

// canonical reports whether a reply has the form that AppendTo writes.
func canonical(in []byte) bool {
	if bytes.ContainsRune(in, 0) {
		return false
	}
	for line := range bytes.Lines(in) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || len(text) < 4 || len(line) > 512 || bytes.ContainsRune(text, '\r') || !bytes.Equal(text[:3], in[:3]) || text[3] != ' ' && text[3] != '-' {
			return false
		}
	}
	return true
}

// TestMayEnd: what has come of a reply is parsed only when it may end.
func TestMayEnd(t *testing.T) {
	for _, tt := range []struct {
		in       string
		from     int
		ends     bool
		next     int
		complete bool // for ParseReply, which must not be called in vain or too late
	}{
		{"", 0, false, 0, false},
		{"250 OK\r", 0, false, 0, false},
		{"250 OK\r\n", 0, true, 0, true},
		{"250\r\n", 0, true, 0, true},
		{"250-a\r\n250-b", 0, false, 7, false},
		{"250-a\r\n250-b\r\n", 7, false, 14, false},
		{"250-a\r\n250-b\r\n250 c\n", 14, true, 14, true},
		{"250-a\r\n250 b\r\n250-c\r\n", 0, true, 7, true},
		{"250-\r\n\r\n", 0, true, 6, false},
		{"25x-a\r\n", 0, true, 0, false},
	} {
		if ends, next := codec.MayEnd([]byte(tt.in), tt.from); ends != tt.ends || next != tt.next {
			t.Errorf("MayEnd(%q, %d) = %v, %d", tt.in, tt.from, ends, next)
		}
		if _, _, err := codec.ParseReply([]byte(tt.in)); (err == nil) != tt.complete || (err != codec.ErrIncomplete) != tt.ends {
			t.Errorf("ParseReply(%q): %v", tt.in, err)
		}
	}
}

// TestRepliesAreReadInLinearTime: a reader looks at each octet of a reply of many lines a few
// times at the most, though they come line by line.
func TestRepliesAreReadInLinearTime(t *testing.T) {
	for _, line := range []string{"250-a\r\n", "550-5.7.1 no\r\n", "550-5.7.1 no\r\n554-5.3.0 no\r\n", "250-\n", "550-5.7.1 no\r\nwithout a code\r\n"} {
		var b []byte
		looked, from := 0, 0
		for len(b) < codec.MaxReply-100 {
			b = append(b, line...)
			looked += len(b) - from
			ends := false
			if ends, from = codec.MayEnd(b, from); ends {
				looked += len(b)
				if _, _, err := codec.ParseReply(b); err != codec.ErrIncomplete { // the reader stops here
					break
				}
			}
		}
		b = append(b, line[:3]+" end\r\n"...)
		if ends, _ := codec.MayEnd(b, from); !ends {
			t.Errorf("%q: the end is not found", line)
		}
		if _, n, err := codec.ParseReply(b); err != nil || n != len(b) {
			t.Errorf("%q: %d octets, %v", line, n, err)
		}
		if looked += 2 * len(b); looked > 4*len(b) {
			t.Errorf("%q: %d octets were looked at, of %d", line, looked, len(b))
		}
	}
}
