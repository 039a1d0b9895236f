package codec_test

import (
	"bytes"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

func TestParseCommand(t *testing.T) {
	tests := []struct {
		line string
		verb codec.Verb
		args string
	}{
		{"EHLO mta.example.com\r\n", codec.VerbEHLO, "mta.example.com"},
		{"helo [192.0.2.1]\r\n", codec.VerbHELO, "[192.0.2.1]"},
		{"AUTH PLAIN AGEAYg==\r\n", codec.VerbAUTH, "PLAIN AGEAYg=="},
		{"MAIL FROM:<a@b.example> SIZE=5 \r\n", codec.VerbMAIL, "FROM:<a@b.example> SIZE=5"},
		{"mail  from:<>\r\n", codec.VerbMAIL, "from:<>"},
		{"Rcpt\tTO:<c@d.example>\r\n", codec.VerbRCPT, "TO:<c@d.example>"},
		{"DATA\r\n", codec.VerbDATA, ""},
		{"data \t \r\n", codec.VerbDATA, ""},
		{"BDAT 86 LAST\r\n", codec.VerbBDAT, "86 LAST"},
		{"RSET\r\n", codec.VerbRSET, ""},
		{"NOOP anything\r\n", codec.VerbNOOP, "anything"},
		{"VRFY x\r\n", codec.VerbVRFY, "x"},
		{"EXPN x\r\n", codec.VerbEXPN, "x"},
		{"HELP\r\n", codec.VerbHELP, ""},
		{"QUIT\r\n", codec.VerbQUIT, ""},
		{"STARTTLS\r\n", codec.VerbSTARTTLS, ""},
		{"\r\n", codec.VerbUnknown, ""},
		{" QUIT\r\n", codec.VerbUnknown, "QUIT"},
		{"QUITS\r\n", codec.VerbUnknown, ""},
		{"XCLIENT ADDR=192.0.2.1\r\n", codec.VerbUnknown, "ADDR=192.0.2.1"},
		{"averyverylongword x\r\n", codec.VerbUnknown, "x"},
		{"GET / HTTP/1.1\r\n", codec.VerbHTTP, "/ HTTP/1.1"},
		{"get /\r\n", codec.VerbHTTP, "/"},
		{"Post\t/x\r\n", codec.VerbHTTP, "/x"},
		{"PUT\r\n", codec.VerbHTTP, ""},
		{"HEAD / HTTP/1.0\r\n", codec.VerbHTTP, "/ HTTP/1.0"},
		{"OPTIONS * HTTP/1.1\r\n", codec.VerbHTTP, "* HTTP/1.1"},
		{"DELETE /x\r\n", codec.VerbHTTP, "/x"},
		{"pAtCh /x\r\n", codec.VerbHTTP, "/x"},
		{"TRACE /\r\n", codec.VerbHTTP, "/"},
		{"CONNECT mx.example.com:25 HTTP/1.1\r\n", codec.VerbHTTP, "mx.example.com:25 HTTP/1.1"},
		{"PRI * HTTP/2.0\r\n", codec.VerbHTTP, "* HTTP/2.0"},
		{"averyverylongmethod /x HTTP/1.1\r\n", codec.VerbHTTP, "/x HTTP/1.1"},
		{" GET / HTTP/1.1\r\n", codec.VerbHTTP, "GET / HTTP/1.1"},
		{"NOOP / HTTP/1.1\r\n", codec.VerbNOOP, "/ HTTP/1.1"},
		{"EHLO HTTP/1.1\r\n", codec.VerbEHLO, "HTTP/1.1"},
		{"GETTING x\r\n", codec.VerbUnknown, "x"},
		{"Host: 127.0.0.1:2525\r\n", codec.VerbUnknown, "127.0.0.1:2525"},
		{"XHTTP/1.1\r\n", codec.VerbUnknown, ""},
		{"\x80\xff\r\n", codec.VerbUnknown, ""},
	}
	for _, tt := range tests {
		for cut := range len(tt.line) {
			if cmd, n, err := codec.ParseCommand([]byte(tt.line[:cut]), codec.EndCRLF); err != codec.ErrIncomplete || n != 0 {
				t.Errorf("ParseCommand(%q) = %v, %d, %v, want ErrIncomplete", tt.line[:cut], cmd, n, err)
			}
		}
		for _, after := range []string{"", "QUIT\r\n", "\n"} {
			cmd, n, err := codec.ParseCommand([]byte(tt.line+after), codec.EndCRLF)
			if cmd.Verb != tt.verb || string(cmd.Args) != tt.args || n != len(tt.line) || err != nil {
				t.Errorf("ParseCommand(%q) = %v %q, %d, %v", tt.line, cmd.Verb, cmd.Args, n, err)
			}
		}
	}
}

func TestParseCommandRefuses(t *testing.T) {
	long := strings.Repeat("x", codec.MaxCommandLine)
	longAuth := "auth plain " + strings.Repeat("A", codec.MaxAuthLine)
	tests := []struct {
		name, in string
		n        int
		err      error
	}{
		{"bare LF", "NOOP\nQUIT\r\n", 5, codec.ErrBareLF},
		{"bare LF only", "\n", 1, codec.ErrBareLF},
		{"bare CR", "NOOP\rQUIT\r\nRSET\r\n", 11, codec.ErrBareNewline},
		{"bare CR and bare LF", "NOOP\rQUIT\nRSET\r\n", 10, codec.ErrBareLF},
		{"NUL and bare LF", "NOOP\x00\nRSET\r\n", 6, codec.ErrBareLF},
		{"two CR", "NOOP\r\r\n", 7, codec.ErrBareNewline},
		{"NUL", "NOOP \x00\r\nRSET\r\n", 8, codec.ErrBareNewline},
		{"NUL, no line end yet", "NOOP \x00", 0, codec.ErrIncomplete},
		{"just too long", long[:codec.MaxCommandLine-1] + "\r\n", codec.MaxCommandLine - 1, codec.ErrLineTooLong},
		{"longest", long[:codec.MaxCommandLine-2] + "\r\n", codec.MaxCommandLine, nil},
		{"too long, no line end", long, codec.MaxCommandLine, codec.ErrLineTooLong},
		{"one short of the cap", long[1:], 0, codec.ErrIncomplete},
		{"AUTH above the cap of others", longAuth[:5000] + "\r\n", 5002, nil},
		{"AUTH at its cap", longAuth[:codec.MaxAuthLine-2] + "\r\n", codec.MaxAuthLine, nil},
		{"AUTH above its cap", longAuth[:codec.MaxAuthLine] + "\r\n", codec.MaxAuthLine, codec.ErrLineTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, n, err := codec.ParseCommand([]byte(tt.in), codec.EndCRLF); n != tt.n || err != tt.err {
				t.Errorf("got %d, %v, want %d, %v", n, err, tt.n, tt.err)
			}
		})
	}
}

func TestParseLine(t *testing.T) {
	line, n, err := codec.ParseLine([]byte(" AGEA \r\nx"), codec.MaxAuthLine, codec.EndCRLF)
	if string(line) != " AGEA " || n != 8 || err != nil {
		t.Errorf("got %q, %d, %v", line, n, err)
	}
	if _, n, err = codec.ParseLine([]byte("abc\r\n"), 4, codec.EndCRLF); n != 3 || err != codec.ErrLineTooLong {
		t.Errorf("CR at the cap: got %d, %v", n, err)
	}
}

// TestParseCommandFindsHTTP has request lines that are no command line: too long,
// with a bare LF or CR, or with a NUL.
func TestParseCommandFindsHTTP(t *testing.T) {
	long := strings.Repeat("x", codec.MaxCommandLine)
	for _, tt := range []struct {
		name, in string
		n        int
	}{
		{"too long", "GET /" + long + " HTTP/1.1\r\n", codec.MaxCommandLine},
		{"too long, in lower case", "post /" + long + "\r\n", codec.MaxCommandLine},
		{"too long, unknown method", "LINK / HTTP/1.1 " + long + "\r\n", codec.MaxCommandLine},
		{"a method and no more", "GET" + strings.Repeat(" ", codec.MaxCommandLine), codec.MaxCommandLine},
		{"bare LF", "GET / HTTP/1.1\nEHLO x\r\n", 15},
		{"method and bare LF", "GET\n", 4},
		{"bare CR", "GET / HTTP/1.1\rEHLO x\r\n", 23},
		{"NUL", "POST /\x00 HTTP/1.1\r\n", 18},
	} {
		for cut := range tt.n {
			if _, n, err := codec.ParseCommand([]byte(tt.in[:cut]), codec.EndCRLF); err != codec.ErrIncomplete || n != 0 {
				t.Fatalf("%s: %d octets of it: %d, %v", tt.name, cut, n, err)
			}
		}
		if cmd, n, err := codec.ParseCommand([]byte(tt.in), codec.EndCRLF); cmd.Verb != codec.VerbHTTP || n != tt.n || err != nil {
			t.Errorf("%s: %v, %d, %v", tt.name, cmd.Verb, n, err)
		}
	}
	for _, in := range []string{"QUIT / HTTP/1.1\nEHLO x\r\n", "MAIL FROM:<" + long + "> HTTP/1.1\r\n"} {
		if cmd, _, err := codec.ParseCommand([]byte(in), codec.EndCRLF); cmd.Verb != codec.VerbUnknown || err == nil {
			t.Errorf("%.20q: %v, %v", in, cmd.Verb, err)
		}
	}
}

// readCommands runs the command parser over pieces as a session does: it keeps
// what was not taken, and skips the rest of a line that is too long or has a bare LF.
func readCommands(ends codec.LineEnd, pieces ...[]byte) (commands []string) {
	var buf []byte
	skipping := false
	for _, p := range pieces {
		buf = append(buf, p...)
		for {
			if skipping {
				n, done := codec.SkipLine(buf, ends)
				buf, skipping = buf[n:], !done
				if !done {
					break
				}
			}
			cmd, n, err := codec.ParseCommand(buf, ends)
			if err == codec.ErrIncomplete {
				break
			}
			switch err {
			case nil:
				commands = append(commands, cmd.Verb.String()+" "+string(cmd.Args))
			default:
				commands = append(commands, err.Error())
				skipping = err == codec.ErrLineTooLong || err == codec.ErrBareLF
			}
			buf = buf[n:]
		}
	}
	return commands
}

func TestSkipLineEveryCut(t *testing.T) {
	tooLong, bareLF := codec.ErrLineTooLong.Error(), codec.ErrBareLF.Error()
	long := strings.Repeat("x", 2*codec.MaxCommandLine)
	for _, tt := range []struct {
		ends codec.LineEnd
		in   string
		want []string
	}{
		{codec.EndCRLF, "NOOP\r\n" + long + "\ry\nz\r\r\nQUIT\r\n", []string{"NOOP ", tooLong, "QUIT "}},
		{codec.EndLF, "NOOP\n" + long + "\ry\nRSET\r\nQUIT\n", []string{"NOOP ", tooLong, "RSET ", "QUIT "}},
		{codec.EndCRLF, "NOOP\nRSET\r\nQUIT\r\n", []string{bareLF, "QUIT "}},
		{codec.EndCRLF, "NOOP\n\nRSET\rRSET\n\r\nQUIT\r\n", []string{bareLF, "QUIT "}},
		{codec.EndCRLF, "\n\r\nQUIT\r\n", []string{bareLF, "QUIT "}},
		{codec.EndCRLF, "NOOP\n" + long + "\r\nQUIT\r\n", []string{bareLF, "QUIT "}},
		{codec.EndLF, "NOOP\nRSET\r\nQUIT\n", []string{"NOOP ", "RSET ", "QUIT "}},
		{codec.EndLF, "\nNO\rOP\n\r\n", []string{"unknown ", codec.ErrBareNewline.Error(), "unknown "}},
		{codec.EndLF, "NOOP\x00\nNOOP \r\n", []string{codec.ErrBareNewline.Error(), "NOOP "}},
	} {
		for cut := range len(tt.in) + 1 {
			got := readCommands(tt.ends, []byte(tt.in[:cut]), []byte(tt.in[cut:]))
			if strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Fatalf("%.40q cut at %d: %q, want %q", tt.in, cut, got, tt.want)
			}
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"EHLO a\r\nMAIL FROM:<a@b> SIZE=1\r\n", "DATA\r\n.\r\n", "NOOP\nQUIT\r\n", "a\rb\r\n", "\x00\r\n", "AUTH LOGIN\r\n",
		strings.Repeat("y", codec.MaxCommandLine-1) + "\r\nQUIT\r\n", "auth " + strings.Repeat("y", codec.MaxAuthLine) + "\r\n",
	} {
		f.Add([]byte(s), uint16(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		at := int(cut) % (len(in) + 1)
		for _, ends := range []codec.LineEnd{codec.EndCRLF, codec.EndLF} {
			whole, cutInTwo := readCommands(ends, in), readCommands(ends, in[:at], in[at:])
			if strings.Join(whole, "\n") != strings.Join(cutInTwo, "\n") {
				t.Fatalf("whole %q, cut at %d %q", whole, at, cutInTwo)
			}
		}
		cmd, n, err := codec.ParseCommand(in, codec.EndCRLF)
		if n < 0 || n > len(in) || (n == 0) != (err == codec.ErrIncomplete) {
			t.Fatalf("n = %d, err = %v", n, err)
		}
		if err != nil {
			return
		}
		if !bytes.HasSuffix(in[:n], []byte("\r\n")) || bytes.ContainsAny(cmd.Args, "\r\n\x00") || bytes.Count(in[:n], []byte("\n")) != 1 {
			t.Fatalf("line %q, arguments %q", in[:n], cmd.Args)
		}
		if cmd.Verb != codec.VerbUnknown && cmd.Verb != codec.VerbHTTP {
			again, _, err := codec.ParseCommand([]byte(cmd.Verb.String()+" "+string(cmd.Args)+"\r\n"), codec.EndCRLF)
			if err == nil && (again.Verb != cmd.Verb || !bytes.Equal(again.Args, cmd.Args)) {
				t.Fatalf("%v %q became %v %q", cmd.Verb, cmd.Args, again.Verb, again.Args)
			}
		}
	})
}

func TestVerbString(t *testing.T) {
	for v := codec.VerbEHLO; v < codec.VerbHTTP; v++ {
		cmd, _, err := codec.ParseCommand([]byte(strings.ToLower(v.String())+"\r\n"), codec.EndCRLF)
		if cmd.Verb != v || err != nil {
			t.Errorf("%v parses as %v, %v", v, cmd.Verb, err)
		}
	}
	if got := codec.NumVerbs.String(); got != "unknown" {
		t.Errorf("String of no verb is %q", got)
	}
}
