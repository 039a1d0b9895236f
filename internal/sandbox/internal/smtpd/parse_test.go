package smtpd

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/wait"
	"xoauth2-proxy/internal/testkit"
)

// stuff is RFC 5321 section 4.5.2 line by line, the slow and plain way.
func stuff(content []byte) []byte {
	var out []byte
	for _, line := range bytes.SplitAfter(content, []byte("\r\n")) {
		if bytes.HasPrefix(line, []byte(".")) {
			out = append(out, '.')
		}
		out = append(out, line...)
	}
	return append(out, ".\r\n"...)
}

// FuzzData: content that was stuffed comes out as it was, and its end is found
// at the last byte and not before, wherever the input is cut.
func FuzzData(f *testing.F) {
	for _, seed := range []string{"", "a", ".", "..\r\n.", "a\n.\nb", "\r\n.\r", "x\r\n\r\n..y"} {
		f.Add([]byte(seed), 1)
	}
	f.Fuzz(func(t *testing.T, content []byte, cut int) {
		if len(content) > 0 {
			content = append(content, "\r\n"...)
		}
		wire := stuff(content)
		cut = min(max(cut, 0), len(wire)-1)
		if end := findEnd(wire[:cut], 0, true); end >= 0 {
			t.Fatalf("end of %q at %d, before all was there", wire, end)
		}
		if end := findEnd(wire, cut, true); end != len(wire) {
			t.Fatalf("end of %q at %d with cut %d", wire, end, cut)
		}
		s := &session{srv: &Server{}, offer: &offer{}}
		if got := s.unstuff(wire); !bytes.Equal(got, content) {
			t.Fatalf("%q came out as %q", content, got)
		}
	})
}

// FuzzLine: no command line makes the parsers panic, and what they read is
// part of the line.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{"MAIL FROM:<a@b.test> SIZE=1", `RCPT TO:<"a>b"@c.test>`, "MAIL FROM:<\"", "bdat 12 LAST", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		verb, args := splitVerb(line)
		if verb != "" && !strings.EqualFold(verb, string(line[:len(verb)])) {
			t.Errorf("verb %s of %q", verb, line)
		}
		for _, prefix := range []string{"FROM:", "TO:"} {
			path, rest, ok := cutPath(args, prefix)
			if want := prefix + "<" + string(path) + ">" + string(rest); ok && !strings.EqualFold(want, string(args)) {
				t.Errorf("%q parted into %q and %q", args, path, rest)
			}
		}
		parseNumber(args)
	})
}

// FuzzSASL: a message that is read gives the same message when built again.
func FuzzSASL(f *testing.F) {
	for _, seed := range []string{"user=a\x01auth=Bearer t\x01\x01", "n,a=u,\x01auth=Bearer t\x01\x01", "n,a=u,\x01host=h\x01port=1\x01auth=Bearer t\x01\x01"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if user, token, err := parseXOAUTH2(msg); err == nil {
			if again := testkit.XOAuth2(user, token); again != base64.StdEncoding.EncodeToString(msg) {
				t.Errorf("%q read as %q, %q", msg, user, token)
			}
		}
		if user, token, err := parseOAUTHBEARER(msg); err == nil && (user == "" || token == "") {
			t.Errorf("%q read as %q, %q", msg, user, token)
		}
	})
}

func TestEarlyTalk(t *testing.T) {
	s := newServer(t, setup{Faults: []fault.Rule{{Name: "f", Phase: fault.PhaseConnect, Action: fault.ActionStall, For: wait.Duration(1e8)}}})
	c := dial(t, s, s.Addr(mailbox.Gmail))
	c.Send("EHLO x\r\n")
	c.Expect("220 ")
	c.Expect("250-")
	if v := s.violations(); v[ViolationEarlyTalk] != 1 {
		t.Errorf("violations %v", v)
	}
}
