package codec_test

import (
	"bytes"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

const allExtensions = codec.ExtSIZE | codec.Ext8BITMIME | codec.ExtSMTPUTF8 | codec.ExtDSN |
	codec.ExtBINARYMIME | codec.ExtCHUNKING | codec.ExtPIPELINING | codec.ExtAUTH

// paths are tried in MAIL and in RCPT. An empty want means malformed.
var paths = []struct{ name, in, want string }{
	{"plain", "<a@example.com>", "a@example.com"},
	{"no brackets", "a@example.com", "a@example.com"},
	{"space after the colon", " <a@example.com>", "a@example.com"},
	{"all atext", "<!#$%&'*+-/=?^_`{|}~09azAZ@example.com>", "!#$%&'*+-/=?^_`{|}~09azAZ@example.com"},
	{"dots", "<a.b.c@example.com>", "a.b.c@example.com"},
	{"dots where some providers have them", "<.a..b.@example.com>", ".a..b.@example.com"},
	{"quoted", `<"a b"@example.com>`, `"a b"@example.com`},
	{"quoted special characters", `<"a>@\"\\,b"@example.com>`, `"a>@\"\\,b"@example.com`},
	{"quoted empty", `<""@example.com>`, `""@example.com`},
	{"source route", "<@a.example,@b.example:u@example.com>", "u@example.com"},
	{"source route with literals", "<@[IPv6:2001:db8::1],@[192.0.2.1]:u@example.com>", "u@example.com"},
	{"single label", "<a@localhost>", "a@localhost"},
	{"IPv4 literal", "<a@[192.0.2.1]>", "a@[192.0.2.1]"},
	{"IPv6 literal", "<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"},
	{"IPv6 literal, dotted end", "<a@[ipv6:::ffff:192.0.2.1]>", "a@[ipv6:::ffff:192.0.2.1]"},
	{"underscore in domain", "<a@_x.example.com>", "a@_x.example.com"},
	{"local part of 64", "<" + strings.Repeat("l", 64) + "@example.com>", strings.Repeat("l", 64) + "@example.com"},
	{"local part of 256", "<" + strings.Repeat("l", 256) + "@example.com>", strings.Repeat("l", 256) + "@example.com"},
	{"local part of 257", "<" + strings.Repeat("l", 257) + "@example.com>", ""},
	{"domain of 255", "<a@" + strings.Repeat("abcdefg.", 31) + "abcdefg>", "a@" + strings.Repeat("abcdefg.", 31) + "abcdefg"},
	{"domain of 256", "<a@" + strings.Repeat("abcdefg.", 31) + "abcdefgh>", ""},
	{"label of 63", "<a@" + strings.Repeat("b", 63) + ".example>", "a@" + strings.Repeat("b", 63) + ".example"},
	{"label of 64", "<a@" + strings.Repeat("b", 64) + ".example>", ""},

	{"no closing bracket", "<a@example.com", ""},
	{"no opening bracket", "a@example.com>", ""},
	{"no domain", "<a>", ""},
	{"empty domain", "<a@>", ""},
	{"empty local part", "<@example.com>", ""},
	{"two at signs", "<a@b@example.com>", ""},
	{"empty label", "<a@example..com>", ""},
	{"trailing dot", "<a@example.com.>", ""},
	{"leading hyphen", "<a@-example.com>", ""},
	{"trailing hyphen", "<a@example-.com>", ""},
	{"space", "<a b@example.com>", ""},
	{"space within brackets", "< a@example.com>", ""},
	{"control character", "<a\x01b@example.com>", ""},
	{"DEL", "<a\x7f@example.com>", ""},
	{"open quote", `<"a@example.com>`, ""},
	{"quote in an atom", `<a"b"@example.com>`, ""},
	{"characters after quote", `<"a"b@example.com>`, ""},
	{"backslash at the end", `<"a\`, ""},
	{"control character quoted", "<\"a\x01\"@example.com>", ""},
	{"DEL after backslash", "<\"a\\\x7f\"@example.com>", ""},
	{"route without mailbox", "<@a.example>", ""},
	{"route without colon", "<@a.example,u@example.com>", ""},
	{"route with bad domain", "<@a..example:u@example.com>", ""},
	{"route with open literal", "<@[192.0.2.1:u@example.com>", ""},
	{"route after literal", "<@[192.0.2.1]u@example.com>", ""},
	{"empty literal", "<a@[]>", ""},
	{"open literal", "<a@[192.0.2.1>", ""},
	{"IPv4 of three parts", "<a@[192.0.2]>", ""},
	{"IPv4 out of range", "<a@[192.0.2.256]>", ""},
	{"IPv6 without tag", "<a@[2001:db8::1]>", ""},
	{"IPv6 of nine groups", "<a@[IPv6:1:2:3:4:5:6:7:8:9]>", ""},
	{"IPv6 with a zone", "<a@[IPv6:fe80::1%eth0]>", ""},
	{"unregistered tag", "<a@[x400:abc]>", ""},
}

func TestPaths(t *testing.T) {
	for _, tt := range paths {
		t.Run(tt.name, func(t *testing.T) {
			m, err := codec.ParseMail([]byte("FROM:"+tt.in), 0)
			if string(m.Path) != tt.want || (err == nil) != (tt.want != "") || err != nil && err != codec.ErrReversePath {
				t.Errorf("ParseMail = %q, %v", m.Path, err)
			}
			r, err := codec.ParseRcpt([]byte("to:"+tt.in), 0)
			if string(r.Path) != tt.want || (err == nil) != (tt.want != "") || err != nil && err != codec.ErrForwardPath {
				t.Errorf("ParseRcpt = %q, %v", r.Path, err)
			}
		})
	}
}

func TestUTF8Paths(t *testing.T) {
	for _, path := range []string{"δοκιμή@example.com", "a@παράδειγμα.δοκιμή", `"δ ο"@example.com`, "a@" + strings.Repeat("δ", 40) + ".example"} {
		for _, tt := range []struct {
			params string
			ext    codec.Extensions
			err    error
		}{
			{" SMTPUTF8", codec.ExtSMTPUTF8, nil},
			{"", codec.ExtSMTPUTF8, codec.ErrNeedUTF8},
			{" SMTPUTF8", 0, codec.ErrUnknownParam},
			{"", 0, codec.ErrNeedUTF8},
		} {
			if m, err := codec.ParseMail([]byte("FROM:<"+path+">"+tt.params), tt.ext); err != tt.err || err == nil && string(m.Path) != path {
				t.Errorf("ParseMail(%s%s) = %q, %v", path, tt.params, m.Path, err)
			}
		}
		if _, err := codec.ParseRcpt([]byte("TO:<"+path+">"), codec.ExtSMTPUTF8); err != nil {
			t.Errorf("ParseRcpt(%s) = %v", path, err)
		}
		if _, err := codec.ParseRcpt([]byte("TO:<"+path+">"), 0); err != codec.ErrNeedUTF8 {
			t.Errorf("ParseRcpt(%s) without SMTPUTF8 = %v", path, err)
		}
	}
	if _, err := codec.ParseMail([]byte("FROM:<\xff@example.com> SMTPUTF8"), codec.ExtSMTPUTF8); err != codec.ErrReversePath {
		t.Errorf("invalid UTF-8: %v", err)
	}
}

func TestParseMailParams(t *testing.T) {
	tests := []struct {
		in   string
		want codec.MailArgs
		err  error
	}{
		{in: "FROM:<>", want: codec.MailArgs{Path: nil, Size: -1}},
		{in: "FROM:<a@b> SIZE=0", want: codec.MailArgs{Size: 0}},
		{in: "from:<a@b>  size=1000\tbody=8bitmime ", want: codec.MailArgs{Size: 1000, Body: codec.Body8BitMIME}},
		{in: "FROM:a@b BODY=7BIT", want: codec.MailArgs{Size: -1, Body: codec.Body7Bit}},
		{in: "FROM:<a@b> BODY=BINARYMIME", want: codec.MailArgs{Size: -1, Body: codec.BodyBinaryMIME}},
		{in: "FROM:<a@b> SIZE=99999999999999999999", want: codec.MailArgs{Size: math.MaxInt64}},
		{in: "FROM:<a@b> SIZE=9223372036854775807", want: codec.MailArgs{Size: math.MaxInt64}},
		{in: "FROM:<a@b> SMTPUTF8", want: codec.MailArgs{Size: -1, SMTPUTF8: true}},
		{in: "FROM:<a@b> RET=FULL ENVID=QQ+2B314", want: codec.MailArgs{Size: -1, Ret: codec.RetFull, EnvID: []byte("QQ+2B314")}},
		{in: "FROM:<a@b> RET=hdrs", want: codec.MailArgs{Size: -1, Ret: codec.RetHeaders}},
		{in: "FROM:<a@b> AUTH=<>", want: codec.MailArgs{Size: -1}},
		{in: "FROM:<a@b> AUTH=e+3Dmc2@example.com", want: codec.MailArgs{Size: -1}},

		{in: "", err: codec.ErrArgSyntax},
		{in: "FROM", err: codec.ErrArgSyntax},
		{in: "FROM:", err: codec.ErrArgSyntax},
		{in: "FROM: ", err: codec.ErrArgSyntax},
		{in: "TO:<a@b>", err: codec.ErrArgSyntax},
		{in: "FROM:<a@b>SIZE=1", err: codec.ErrArgSyntax},
		{in: "FROM:<<a@b>>", err: codec.ErrArgSyntax},
		{in: "FROM:<a@b> =1", err: codec.ErrArgSyntax},
		{in: "FROM:<a@b> -X=1", err: codec.ErrArgSyntax},
		{in: "FROM:<a@b> S?ZE=1", err: codec.ErrArgSyntax},
		{in: "FROM:<a@b> SIZE=1 SIZE=1", err: codec.ErrParamValue},
		{in: "FROM:<a@b> AUTH=<> AUTH=<>", err: codec.ErrParamValue},
		{in: "FROM:<a@b> SIZE", err: codec.ErrParamValue},
		{in: "FROM:<a@b> SIZE=", err: codec.ErrParamValue},
		{in: "FROM:<a@b> SIZE=-1", err: codec.ErrParamValue},
		{in: "FROM:<a@b> SIZE=1x", err: codec.ErrParamValue},
		{in: "FROM:<a@b> SIZE=100000000000000000000", err: codec.ErrParamValue},
		{in: "FROM:<a@b> BODY=9BIT", err: codec.ErrParamValue},
		{in: "FROM:<a@b> BODY=AVERYLONGBODYVALUE", err: codec.ErrParamValue},
		{in: "FROM:<a@b> SMTPUTF8=", err: codec.ErrParamValue},
		{in: "FROM:<a@b> SMTPUTF8=1", err: codec.ErrParamValue},
		{in: "FROM:<a@b> RET=SOME", err: codec.ErrParamValue},
		{in: "FROM:<a@b> ENVID=", err: codec.ErrParamValue},
		{in: "FROM:<a@b> ENVID=a=b", err: codec.ErrParamValue},
		{in: "FROM:<a@b> ENVID=a+2", err: codec.ErrParamValue},
		{in: "FROM:<a@b> ENVID=a+GG", err: codec.ErrParamValue},
		{in: "FROM:<a@b> ENVID=\x01", err: codec.ErrParamValue},
		{in: "FROM:<a@b> ENVID=" + strings.Repeat("e", 101), err: codec.ErrParamValue},
		{in: "FROM:<a@b> AUTH=", err: codec.ErrParamValue},
		{in: "FROM:<a@b> NOTIFY=NEVER", err: codec.ErrUnknownParam},
		{in: "FROM:<a@b> MT-PRIORITY=3", err: codec.ErrUnknownParam},
		{in: "FROM:<a@b> AVERYLONGKEYWORD=3", err: codec.ErrUnknownParam},
	}
	for _, tt := range tests {
		got, err := codec.ParseMail([]byte(tt.in), allExtensions)
		if err != tt.err {
			t.Errorf("ParseMail(%q): %v, want %v", tt.in, err, tt.err)
			continue
		}
		if got.Path = nil; err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseMail(%q) = %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func TestParseRcptParams(t *testing.T) {
	tests := []struct {
		in   string
		want codec.RcptArgs
		err  error
	}{
		{in: "TO:<a@b>", want: codec.RcptArgs{Path: []byte("a@b")}},
		{in: "TO:<Postmaster>", want: codec.RcptArgs{Path: []byte("Postmaster")}},
		{in: "TO:postmaster", want: codec.RcptArgs{Path: []byte("postmaster")}},
		{in: "TO:<a@b> NOTIFY=never", want: codec.RcptArgs{Path: []byte("a@b"), Notify: codec.NotifyNever}},
		{
			in:   "TO:<a@b> NOTIFY=SUCCESS,DELAY,FAILURE ORCPT=rfc822;a+2Bx@b",
			want: codec.RcptArgs{Path: []byte("a@b"), Notify: codec.NotifySuccess | codec.NotifyFailure | codec.NotifyDelay, ORcpt: []byte("rfc822;a+2Bx@b")},
		},
		{in: "TO:<a@b> ORCPT=utf-8;δ+2Bδ@b", want: codec.RcptArgs{Path: []byte("a@b"), ORcpt: []byte("utf-8;δ+2Bδ@b")}},

		{in: "TO:<>", err: codec.ErrForwardPath},
		{in: "FROM:<a@b>", err: codec.ErrArgSyntax},
		{in: "TO:<a@b>x", err: codec.ErrArgSyntax},
		{in: "TO:<a@b> =", err: codec.ErrArgSyntax},
		{in: "TO:<a@b> SIZE=1", err: codec.ErrUnknownParam},
		{in: "TO:<a@b> NOTIFY", err: codec.ErrParamValue},
		{in: "TO:<a@b> NOTIFY=", err: codec.ErrParamValue},
		{in: "TO:<a@b> NOTIFY=SUCCESS,", err: codec.ErrParamValue},
		{in: "TO:<a@b> NOTIFY=NEVER,DELAY", err: codec.ErrParamValue},
		{in: "TO:<a@b> NOTIFY=SOMETIMES", err: codec.ErrParamValue},
		{in: "TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=rfc822;a@b ORCPT=rfc822;a@b", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=a@b", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=;a@b", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=rfc822;", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=utf-8;", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=rfc822;a+b@c", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=rfc822;δ@b", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=utf-8;\xff@b", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=utf-8;δ+δ", err: codec.ErrParamValue},
		{in: "TO:<a@b> ORCPT=rfc822;" + strings.Repeat("o", 500), err: codec.ErrParamValue},
	}
	for _, tt := range tests {
		got, err := codec.ParseRcpt([]byte(tt.in), allExtensions)
		if err != tt.err || err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseRcpt(%q) = %+v, %v, want %+v, %v", tt.in, got, err, tt.want, tt.err)
		}
	}
}

// A parameter whose extension was not advertised is unknown, whatever its
// value.
func TestParamsNeedTheirExtension(t *testing.T) {
	for param, ext := range map[string]codec.Extensions{
		"SIZE=1": codec.ExtSIZE, "BODY=8BITMIME": codec.Ext8BITMIME, "SMTPUTF8": codec.ExtSMTPUTF8,
		"RET=FULL": codec.ExtDSN, "ENVID=x": codec.ExtDSN, "AUTH=<>": codec.ExtAUTH,
	} {
		if _, err := codec.ParseMail([]byte("FROM:<a@b> "+param), allExtensions&^ext); err != codec.ErrUnknownParam {
			t.Errorf("%s without its extension: %v", param, err)
		}
		if _, err := codec.ParseMail([]byte("FROM:<a@b> "+param), ext); err != nil {
			t.Errorf("%s: %v", param, err)
		}
	}
	for _, param := range []string{"NOTIFY=DELAY", "ORCPT=rfc822;a@b"} {
		if _, err := codec.ParseRcpt([]byte("TO:<a@b> "+param), allExtensions&^codec.ExtDSN); err != codec.ErrUnknownParam {
			t.Errorf("%s without DSN: %v", param, err)
		}
	}
	if _, err := codec.ParseMail([]byte("FROM:<a@b> BODY=BINARYMIME"), codec.Ext8BITMIME); err != codec.ErrParamValue {
		t.Errorf("BODY=BINARYMIME without its extension: %v", err)
	}
}

func TestAppendArgs(t *testing.T) {
	m, err := codec.ParseMail([]byte("FROM:<@r:a@b> ENVID=e RET=HDRS SMTPUTF8 BODY=BINARYMIME AUTH=<> SIZE=7"), allExtensions)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ext  codec.Extensions
		want string
	}{
		{0, "MAIL FROM:<a@b>\r\n"},
		{codec.ExtSIZE, "MAIL FROM:<a@b> SIZE=7\r\n"},
		{allExtensions, "MAIL FROM:<a@b> SIZE=7 BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=e\r\n"},
	} {
		if got := string(m.AppendTo([]byte("x"), tt.ext)); got != "x"+tt.want {
			t.Errorf("got %q, want x%q", got, tt.want)
		}
	}
	r, err := codec.ParseRcpt([]byte("TO:c@d ORCPT=rfc822;x NOTIFY=DELAY,SUCCESS"), allExtensions)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.AppendTo(nil, allExtensions)); got != "RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x\r\n" {
		t.Errorf("got %q", got)
	}
	if got := string(r.AppendTo(nil, 0)); got != "RCPT TO:<c@d>\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestReplyForArgs(t *testing.T) {
	for err, want := range map[error]int{
		codec.ErrArgSyntax: 501, codec.ErrParamValue: 501, codec.ErrReversePath: 501,
		codec.ErrForwardPath: 501, codec.ErrUnknownParam: 555, codec.ErrNeedUTF8: 553,
	} {
		if got := codec.ReplyForArgs(err); got.Code != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestParseBdat(t *testing.T) {
	tests := []struct {
		in   string
		size int64
		last bool
		ok   bool
	}{
		{"0", 0, false, true},
		{"86 LAST", 86, true, true},
		{"86 \t last ", 86, true, true},
		{"0 LAST", 0, true, true},
		{"9223372036854775806", math.MaxInt64 - 1, false, true},
		{"9223372036854775807", 0, false, false},
		{"99999999999999999999", 0, false, false},
		{"", 0, false, false},
		{"LAST", 0, false, false},
		{"-1", 0, false, false},
		{"1 FIRST", 0, false, false},
		{"1 LAST LAST", 0, false, false},
	}
	for _, tt := range tests {
		size, last, err := codec.ParseBdat([]byte(tt.in))
		if size != tt.size || last != tt.last || (err == nil) != tt.ok {
			t.Errorf("ParseBdat(%q) = %d, %v, %v", tt.in, size, last, err)
		}
	}
}

func FuzzBdat(f *testing.F) {
	for _, s := range []string{"0", "1 LAST", "18446744073709551616", "7 x", " 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		size, last, err := codec.ParseBdat(in)
		if err != nil {
			return
		}
		fields := strings.Fields(string(in))
		n, ok := new(big.Int).SetString(fields[0], 10)
		if !ok || n.Cmp(big.NewInt(size)) != 0 || last != (len(fields) == 2) || len(fields) > 2 {
			t.Fatalf("ParseBdat(%q) = %d, %v", in, size, last)
		}
	})
}

// checkMailbox applies what every accepted path must hold: nothing in it can
// end the path or the line that it is written to.
func checkMailbox(t *testing.T, path []byte) {
	t.Helper()
	for _, c := range path {
		if c < ' ' || c == 0x7f {
			t.Fatalf("control character in path %q", path)
		}
	}
	at := bytes.LastIndexByte(path, '@')
	if at < 0 {
		if !strings.EqualFold(string(path), "postmaster") {
			t.Fatalf("path %q without a domain", path)
		}
		return
	}
	if local := path[:at]; local[0] != '"' && bytes.ContainsAny(local, " <>@\\\"") {
		t.Fatalf("special character in path %q", path)
	}
	domain := string(path[at+1:])
	if domain[0] != '[' {
		if strings.ContainsAny(domain, " <>\"\\,:;()") {
			t.Fatalf("special character in domain %q", domain)
		}
		return
	}
	addr, v6 := domain[1:len(domain)-1], false
	if len(addr) > 5 && strings.EqualFold(addr[:5], "IPv6:") {
		addr, v6 = addr[5:], true
	}
	if ip, err := netip.ParseAddr(addr); err != nil || ip.Is4() == v6 || ip.Zone() != "" {
		t.Fatalf("literal %q: %v, %v", domain, ip, err)
	}
}

func FuzzMailArgs(f *testing.F) {
	for _, tt := range paths {
		f.Add([]byte("FROM:"+tt.in+" SIZE=1 BODY=8BITMIME RET=FULL ENVID=x+2B AUTH=<>"), uint16(allExtensions))
	}
	f.Add([]byte("FROM:<δ@δ> SMTPUTF8"), uint16(codec.ExtSMTPUTF8))
	f.Fuzz(func(t *testing.T, in []byte, mask uint16) {
		ext := codec.Extensions(mask)
		m, err := codec.ParseMail(in, ext)
		if err != nil {
			if codec.ReplyForArgs(err).Code < 500 {
				t.Fatalf("reply to %v", err)
			}
			return
		}
		if len(m.Path) > 0 {
			checkMailbox(t, m.Path)
		}
		line := m.AppendTo(nil, ext)
		cmd, n, err := codec.ParseCommand(line, codec.EndCRLF)
		if err == codec.ErrLineTooLong {
			return
		}
		if cmd.Verb != codec.VerbMAIL || n != len(line) || err != nil {
			t.Fatalf("%q is not one command: %v, %d, %v", line, cmd.Verb, n, err)
		}
		again, err := codec.ParseMail(cmd.Args, ext)
		if err != nil || !bytes.Equal(again.AppendTo(nil, ext), line) {
			t.Fatalf("%q gives %+v, %v, from %+v", line, again, err, m)
		}
	})
}

func FuzzRcptArgs(f *testing.F) {
	for _, tt := range paths {
		f.Add([]byte("TO:"+tt.in+" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2B"), uint16(allExtensions))
	}
	f.Add([]byte("TO:postmaster ORCPT=utf-8;δ\\x{3B4}"), uint16(allExtensions))
	f.Fuzz(func(t *testing.T, in []byte, mask uint16) {
		ext := codec.Extensions(mask)
		r, err := codec.ParseRcpt(in, ext)
		if err != nil {
			return
		}
		checkMailbox(t, r.Path)
		line := r.AppendTo(nil, ext)
		cmd, n, err := codec.ParseCommand(line, codec.EndCRLF)
		if err == codec.ErrLineTooLong {
			return
		}
		if cmd.Verb != codec.VerbRCPT || n != len(line) || err != nil {
			t.Fatalf("%q is not one command: %v, %d, %v", line, cmd.Verb, n, err)
		}
		again, err := codec.ParseRcpt(cmd.Args, ext)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q gives %+v, %v, from %+v", line, again, err, r)
		}
	})
}

// FuzzLiteral compares address literals with net/netip in both directions.
func FuzzLiteral(f *testing.F) {
	for _, s := range []string{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::2::3", ":::", "1:", ":1", "::1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "192.0.2.1", "01.2.3.4", "1.2.3", "1:2:3:4:5:6:7::8", "::g", "12345::", "1:2:3:4:5:6:7:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ip, err := netip.ParseAddr(s)
		for tag, want := range map[string]bool{
			"":      err == nil && ip.Is4(),
			"IPv6:": err == nil && ip.Is6() && ip.Zone() == "",
		} {
			_, got := codec.ParseMail([]byte("FROM:<a@["+tag+s+"]>"), 0)
			if (got == nil) != want && !strings.ContainsAny(s, "[]<>\\\"") && !strings.HasPrefix(strings.ToUpper(s), "IPV6:") {
				t.Fatalf("[%s%s]: %v; net/netip: %v, %v", tag, s, got, ip, err)
			}
		}
	})
}
