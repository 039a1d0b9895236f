package codec_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

// refDecode is a naive decoder of DATA, one octet at a time, written from RFC
// 5321 section 4.5.2: the oracle for DataDecoder.
func refDecode(wire string, limit int, normalise bool) (content string, n int, done bool, err error) {
	var out []byte
	fail := func(e error) {
		if err == nil {
			err = e
		}
	}
	emit := func(s string) {
		if err != nil {
			return
		}
		if limit > 0 && len(out)+len(s) > limit {
			fail(codec.ErrTooBig)
			return
		}
		out = append(out, s...)
	}
	lineStart := true
	for i := 0; i < len(wire); {
		rest := wire[i:]
		if lineStart && rest[0] == '.' {
			if strings.HasPrefix(rest, ".\r\n") {
				return string(out), i + 3, true, err
			}
			if rest == "." || rest == ".\r" {
				return string(out), len(wire), false, err // still open
			}
			bare := rest[1] == '\n' || rest[1] == '\r' // rest[2] is no LF
			if normalise && bare {
				emit(".")
			}
			lineStart = false
			i++
			continue
		}
		lineStart = false
		switch {
		case strings.HasPrefix(rest, "\r\n"):
			emit("\r\n")
			lineStart = true
			i += 2
		case rest == "\r":
			i++ // still open
		case rest[0] == '\r' || rest[0] == '\n':
			if normalise {
				emit("\r\n")
			} else if rest[0] == '\r' {
				fail(codec.ErrBareCR)
			} else {
				fail(codec.ErrBareLF)
			}
			i++
		default:
			emit(rest[:1])
			i++
		}
	}
	return string(out), len(wire), false, err
}

// contentString returns the octets of a content.
func contentString(t testing.TB, c *codec.Content) string {
	t.Helper()
	var b bytes.Buffer
	if n, err := c.WriteTo(&b); err != nil || n != c.Size() || int(n) != b.Len() {
		t.Fatalf("WriteTo = %d, %v; size %d, %d written", n, err, c.Size(), b.Len())
	}
	return b.String()
}

// decodePieces decodes the pieces one after the other.
func decodePieces(t testing.TB, limit int64, normalise bool, pieces ...string) (content string, n int, done bool, err error) {
	t.Helper()
	c := codec.NewContent(nil)
	defer c.Release()
	d := codec.DataDecoder{Normalise: normalise}
	d.Reset(limit)
	for _, p := range pieces {
		m, isDone := d.Decode([]byte(p), c)
		if !done && !isDone && m != len(p) {
			t.Fatalf("Decode(%q) took %d octets without the end of data", p, m)
		}
		if done && (m != 0 || !isDone) {
			t.Fatalf("Decode after the end of data = %d, %v", m, isDone)
		}
		n += m
		done = isDone
	}
	return contentString(t, c), n, done, d.Err()
}

// checkDecode compares DataDecoder with the reference for the wire form in
// one piece, in single octets, and in two pieces of every length.
func checkDecode(t testing.TB, wire string, limit int, normalise bool) {
	t.Helper()
	want, wantN, wantDone, wantErr := refDecode(wire, limit, normalise)
	check := func(pieces ...string) {
		t.Helper()
		got, n, done, err := decodePieces(t, int64(limit), normalise, pieces...)
		if n != wantN || done != wantDone || err != wantErr || err == nil && got != want {
			t.Fatalf("pieces %q (limit %d, normalise %v):\n got %q, %d, %v, %v\nwant %q, %d, %v, %v",
				pieces, limit, normalise, got, n, done, err, want, wantN, wantDone, wantErr)
		}
	}
	check(wire)
	check(strings.Split(wire, "")...)
	for cut := range len(wire) + 1 {
		check(wire[:cut], wire[cut:])
	}
}

func TestDataDecoder(t *testing.T) {
	tests := []struct {
		name, wire string
		limit      int
		want       string
		wantRest   string // what follows the end of data
		open       bool   // the end of data has not come
		wantErr    error
	}{
		{name: "empty message", wire: ".\r\n", want: ""},
		{name: "one empty line", wire: "\r\n.\r\n", want: "\r\n"},
		{name: "plain line", wire: "a\r\n.\r\n", want: "a\r\n"},
		{name: "stuffed dot", wire: "..a\r\n.\r\n", want: ".a\r\n"},
		{name: "stuffed lone dot", wire: "a\r\n..\r\n.\r\n", want: "a\r\n.\r\n"},
		{name: "dot that was not stuffed", wire: ".a\r\n.\r\n", want: "a\r\n"},
		{name: "dot within a line", wire: "a.\r\n.\r\n", want: "a.\r\n"},
		{name: "three dots", wire: "...\r\n.\r\n", want: "..\r\n"},
		{name: "NUL and 8-bit octets", wire: "\x00\xff\x80\r\n.\r\n", want: "\x00\xff\x80\r\n"},
		{name: "dot and space", wire: ". \r\n.\r\n", want: " \r\n"},
		{name: "pipelined command after", wire: "a\r\n.\r\nQUIT\r\n", want: "a\r\n", wantRest: "QUIT\r\n"},
		{name: "no end", wire: "a\r\n", want: "a\r\n", open: true},
		{name: "half of the end", wire: "a\r\n.\r", want: "a\r\n", open: true},
		{name: "at the limit", wire: "abc\r\n.\r\n", limit: 5, want: "abc\r\n"},
		{name: "above the limit", wire: "abcd\r\n.\r\nRSET\r\n", limit: 5, wantErr: codec.ErrTooBig, wantRest: "RSET\r\n"},
		{name: "stuffed dots do not count", wire: "..bc\r\n.\r\n", limit: 5, want: ".bc\r\n"},
		{name: "LF.LF", wire: "a\n.\nMAIL FROM:<>\r\n.\r\n", wantErr: codec.ErrBareLF},
		{name: "LF.CRLF", wire: "a\n.\r\nMAIL FROM:<>\r\n.\r\n", wantErr: codec.ErrBareLF},
		{name: "CRLF.LF", wire: "a\r\n.\nMAIL FROM:<>\r\n.\r\n", wantErr: codec.ErrBareLF},
		{name: "CR.CR", wire: "a\r.\rMAIL FROM:<>\r\n.\r\n", wantErr: codec.ErrBareCR},
		{name: "CR.CRLF", wire: "a\r.\r\nMAIL FROM:<>\r\n.\r\n", wantErr: codec.ErrBareCR},
		{name: "CRLF.CR", wire: "a\r\n.\rMAIL FROM:<>\r\n.\r\n", wantErr: codec.ErrBareCR},
		{name: "CR.LF", wire: "a\r.\nMAIL FROM:<>\r\n.\r\n", wantErr: codec.ErrBareCR},
		{name: "LF.CR", wire: "a\n.\rMAIL FROM:<>\r\n.\r\n", wantErr: codec.ErrBareLF},
		{name: "CRLF.CRCRLF", wire: "a\r\n.\r\r\nMAIL FROM:<>\r\n.\r\n", wantErr: codec.ErrBareCR},
		{name: "CRCRLF.CRLF", wire: "a\r\r\n.\r\n", wantErr: codec.ErrBareCR},
		{name: "CRLF NUL.CRLF", wire: "a\r\n\x00.\r\n.\r\n", want: "a\r\n\x00.\r\n"},
		{name: "LFCR.CRLF", wire: "a\n\r.\r\nb\r\n.\r\n", wantErr: codec.ErrBareLF},
		{name: "bare LF at the start", wire: "\n.\r\nb\r\n.\r\n", wantErr: codec.ErrBareLF},
		{name: "first error wins", wire: "a\rb\n\r\n.\r\n", wantErr: codec.ErrBareCR},
		{name: "too big comes first", wire: "abcdef\n\r\n.\r\n", limit: 3, wantErr: codec.ErrTooBig},
		{name: "bare LF comes first", wire: "ab\ncdefgh\r\n.\r\n", limit: 3, wantErr: codec.ErrBareLF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, n, done, err := decodePieces(t, int64(tt.limit), false, tt.wire)
			if err != tt.wantErr || done == tt.open || tt.wire[n:] != tt.wantRest || err == nil && got != tt.want {
				t.Errorf("got %q, %d, %v, %v", got, n, done, err)
			}
			checkDecode(t, tt.wire, tt.limit, false)
			checkDecode(t, tt.wire, tt.limit, true)
		})
	}
}

func TestDataDecoderNormalise(t *testing.T) {
	tests := []struct{ name, wire, want string }{
		{"LF line ends", "a\nb\n\r\n.\r\n", "a\r\nb\r\n\r\n"},
		{"CR line ends", "a\rb\r.\r\n.\r\n", "a\r\nb\r\n.\r\n"},
		{"LF.LF stays content", "a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
		{"LF.CRLF stays content", "a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
		{"CRLF.LF stays content", "a\r\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
		{"CRLF.CR stays content", "a\r\n.\rb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
		{"CR.CRLF stays content", "a\r.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
		{"dots after a bare LF stay", "a\n..b\r\n.\r\n", "a\r\n..b\r\n"},
		{"CRCRLF is two lines", "a\r\r\n.\r\n", "a\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, n, done, err := decodePieces(t, 0, true, tt.wire)
			if got != tt.want || n != len(tt.wire) || !done || err != nil {
				t.Errorf("got %q, %d, %v, %v; want %q", got, n, done, err, tt.want)
			}
			checkDecode(t, tt.wire, 0, true)
		})
	}
}

func TestDataDecoderBudget(t *testing.T) {
	budget := codec.NewBudget(codec.FirstSegmentSize)
	c := codec.NewContent(budget)
	var d codec.DataDecoder
	d.Decode(bytes.Repeat([]byte{'a'}, codec.FirstSegmentSize), c)
	if d.Err() != nil {
		t.Fatalf("error within the budget: %v", d.Err())
	}
	n, done := d.Decode([]byte("b\r\n"), c)
	if n != 3 || done || !errors.Is(d.Err(), codec.ErrBudget) {
		t.Fatalf("Decode = %d, %v, %v", n, done, d.Err())
	}
	c.Release()
	if used := budget.Used(); used != 0 {
		t.Errorf("%d octets still charged", used)
	}
	if n, done = d.Decode([]byte("more\r\n.\r\nQUIT\r\n"), nil); n != 9 || !done {
		t.Errorf("swallowing after the error: Decode = %d, %v", n, done)
	}
	if got := codec.ReplyForContent(d.Err()); got != codec.ReplyNoStorage {
		t.Errorf("reply %v", got)
	}
}

func TestDataDecoderLongContent(t *testing.T) {
	var wire, want strings.Builder
	for i := range 9000 {
		line := strings.Repeat(".", i%3) + strings.Repeat("x", i%79) + "\r\n"
		want.WriteString(line)
		if line[0] == '.' {
			wire.WriteByte('.')
		}
		wire.WriteString(line)
	}
	wire.WriteString(".\r\n")
	for _, piece := range []int{1 << 20, 65536, 4096, 1460, 7, 1} {
		var pieces []string
		for s := wire.String(); len(s) > 0; s = s[min(piece, len(s)):] {
			pieces = append(pieces, s[:min(piece, len(s))])
		}
		got, n, done, err := decodePieces(t, 0, false, pieces...)
		if got != want.String() || n != wire.Len() || !done || err != nil {
			t.Errorf("pieces of %d: %d octets of content, n = %d, done = %v, err = %v", piece, len(got), n, done, err)
		}
	}
}

func TestDataDecoderReset(t *testing.T) {
	d := codec.DataDecoder{Normalise: true}
	d.Reset(1)
	c := codec.NewContent(nil)
	defer c.Release()
	d.Decode([]byte("abc\r\n.\r\n"), c)
	d.Reset(0)
	if n, done := d.Decode([]byte("a\n\r\n.\r\n"), c); n != 7 || !done || d.Err() != nil {
		t.Errorf("after Reset: Decode = %d, %v, %v", n, done, d.Err())
	}
	if got := contentString(t, c); got != "a\r\n\r\n" {
		t.Errorf("content %q", got)
	}
}

func FuzzData(f *testing.F) {
	for _, s := range []string{
		".\r\n", "a\r\n.\r\nQUIT\r\n", "..a\r\n.\r\n", "a\n.\r\n", "a\r.\rb\r\n.\r\n", "\r\n.\r\r\n.\r\n", "\n\r.\r\n",
		"a\r\n.\nb\r\n.\r\n", "a\r\n..\r\n\r\n.\r\n", "\r\n.\r\n.\r\n",
	} {
		f.Add(s, byte(0), false)
		f.Add(s, byte(3), true)
	}
	f.Fuzz(func(t *testing.T, wire string, limit byte, normalise bool) {
		if len(wire) > 200 {
			return // every cut is tried: keep it quick
		}
		checkDecode(t, wire, int(limit), normalise)
	})
}

// FuzzStuff checks that decoding what was stuffed gives the content back, and
// ends exactly where it ends.
func FuzzStuff(f *testing.F) {
	for _, s := range []string{"", ".", "..", "\r\n", ".\r\n", "a\r\n.\r\n", "a\r\n..b\r\n", "no line end", "\r\n.\r\n.\r\n."} {
		f.Add([]byte(s), uint16(0))
		f.Add([]byte(s), uint16(codec.FirstSegmentSize-2))
	}
	f.Fuzz(func(t *testing.T, tail []byte, shift uint16) {
		// The filler puts the interesting part across a segment border.
		in := append(bytes.Repeat([]byte("x"), int(shift)), tail...)
		c := codec.NewContent(nil)
		defer c.Release()
		if err := c.Append(in); err != nil {
			t.Fatal(err)
		}
		var wire bytes.Buffer
		if err := c.WriteDotStuffed(&wire, 0, c.NumSegments()); err != nil {
			t.Fatal(err)
		}
		want := string(in)
		if len(in) > 0 && !bytes.HasSuffix(in, []byte("\r\n")) {
			want += "\r\n"
		}
		got, n, done, err := decodePieces(t, 0, false, wire.String()+"QUIT\r\n")
		if bare := c.CheckText(); (bare == nil) != (err == nil) || err == nil && got != want {
			t.Fatalf("got %q, %v; want %q, %v", got, err, want, bare)
		}
		if n != wire.Len() || !done {
			t.Fatalf("content %q: the end was found at %d of %d (%v)", tail, n, wire.Len(), done)
		}
	})
}
