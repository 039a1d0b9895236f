package senders

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// listed has a list with one address, one domain, and its own mailbox.
var listed = &account.Account{Email: "me@self.example", Senders: account.NewSenders([]string{"good@ok.example", "@all.example", "self"})}

func content(t testing.TB, text string) *codec.Content {
	t.Helper()
	c := codec.NewContent(nil)
	t.Cleanup(c.Release)
	if err := c.Append([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	yes     = "allowed"
	no      = "not listed"
	unclear = "unclear"
)

func outcome(t testing.TB, r codec.Reply) string {
	t.Helper()
	switch r {
	case codec.NoReply:
		return yes
	case codec.ReplyFromNotListed, codec.ReplySenderNotListed:
		return no
	case codec.ReplyFromUnclear:
		return unclear
	}
	t.Errorf("%v", r)
	return ""
}

func TestPath(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{"", yes}, {"good@ok.example", yes}, {"GOOD@OK.EXAMPLE", yes}, {"bad@ok.example", no}, {"any@all.example", yes},
		{"any@sub.all.example", no}, {`"good"@ok.example`, yes}, {`"go\od"@ok.example`, yes}, {`"good@ok.example"@evil.example`, no},
		{`"x@evil.example"@all.example`, yes}, {"postmaster", no}, {"me@self.example", yes}, {"good@ok.example.evil.example", no},
	} {
		if got := outcome(t, CheckPath(listed, []byte(tt.path))); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.path, got, tt.want)
		}
		if r := CheckPath(new(account.Account), []byte(tt.path)); !r.IsZero() {
			t.Errorf("%q is refused without a list: %v", tt.path, r)
		}
	}
}

// headers are header sections and what becomes of their messages.
var headers = []struct{ name, text, want string }{
	// What clients send.
	{"an address", "From: good@ok.example\r\n", yes},
	{"another one", "From: bad@ok.example\r\n", no},
	{"any address of a domain", "From: any@all.example\r\n", yes},
	{"an address below the domain", "From: any@sub.all.example\r\n", no},
	{"the mailbox itself", "From: Me <me@self.example>\r\n", yes},
	{"no space", "From:good@ok.example\r\n", yes},
	{"in capitals", "FROM: GOOD@OK.EXAMPLE\r\n", yes},
	{"a name", "From: Good Man <good@ok.example>\r\n", yes},
	{"a name with dots", "From: Good B. Man Jr. <good@ok.example>\r\n", yes},
	{"a quoted name", "From: \"Man, Good <x@evil.example>\" <good@ok.example>\r\n", yes},
	{"a quoted name with quotes", "From: \"Good \\\"G\\\" Man\" <good@ok.example>\r\n", yes},
	{"a name and another address", "From: \"good@ok.example\" <bad@ok.example>\r\n", no},
	{"encoded words", "From: =?utf-8?q?M=C3=A4x?= =?iso-8859-1?b?5A==?= <good@ok.example>\r\n", yes},
	{"encoded words of an unknown charset", "From: =?x-none?q?x?= <good@ok.example>\r\n", yes},
	{"encoded words that hold an address", "From: =?utf-8?q?good=40ok=2Eexample?= <bad@ok.example>\r\n", no},
	{"eight bit in the name", "From: Mäx <good@ok.example>\r\n", yes},
	{"eight bit in the address", "From: mäx@all.example\r\n", yes},
	{"folded", "From: Good\r\n Man\r\n\t<good@ok.example>\r\n", yes},
	{"folded after the colon", "From:\r\n good@ok.example\r\n", yes},
	{"a comment", "From: good@ok.example (Good (the) Man\\))\r\n", yes},
	{"a comment first", "From: (a) good@ok.example\r\n", yes},
	{"two mailboxes", "From: good@ok.example, Any <any@all.example>\r\nSender: good@ok.example\r\n", yes},
	{"two mailboxes, the second not listed", "From: good@ok.example, bad@ok.example\r\n", no},
	{"two mailboxes, the first not listed", "From: bad@ok.example, good@ok.example\r\n", no},
	{"a group", "From: People: good@ok.example, Any <any@all.example>;\r\n", yes},
	{"a group with one that is not listed", "From: People: good@ok.example, bad@ok.example;\r\n", no},
	{"a group and a mailbox that is not listed", "From: People: good@ok.example;, bad@ok.example\r\n", no},
	{"a quoted local part", "From: \"good\"@ok.example\r\n", yes},
	{"a quoted local part with an address", "From: \"good@ok.example\"@evil.example\r\n", no},
	{"a domain literal", "From: good@[192.0.2.1]\r\n", no},
	{"Sender and Resent-From are not looked at", "Sender: bad@ok.example\r\nResent-From: bad@ok.example\r\nFrom: good@ok.example\r\n", yes},
	{"From in the body", "From: good@ok.example\r\n\r\nFrom: bad@ok.example\r\n", yes},
	{"other fields with eight bit", "Subject: ä\xff\r\nX: \x01\r\nFrom: good@ok.example\r\n", yes},

	// What cannot be read, or could be read in two ways.
	{"nothing", "", unclear},
	{"no From", "Subject: x\r\n", unclear},
	{"From in the body alone", "Subject: x\r\n\r\nFrom: good@ok.example\r\n", unclear},
	{"body alone", "\r\nFrom: good@ok.example\r\n", unclear},
	{"two From fields", "From: good@ok.example\r\nFrom: bad@ok.example\r\n", unclear},
	{"the same twice", "From: good@ok.example\r\nFrom: good@ok.example\r\n", unclear},
	{"two From fields, one in capitals", "From: good@ok.example\r\nX: y\r\nFROM: bad@ok.example\r\n", unclear},
	{"space before the colon", "From : bad@ok.example\r\n", unclear},
	{"space before the colon, beside a From field", "From : bad@ok.example\r\nFrom: good@ok.example\r\n", unclear},
	{"space before the colon of another field", "X : y\r\nFrom: good@ok.example\r\n", unclear},
	{"a line without a colon", "From: good@ok.example\r\nabc\r\nFrom: bad@ok.example\r\n", unclear},
	{"the line of an mbox", "From bad@ok.example Mon Nov 30 2026\r\nFrom: good@ok.example\r\n", unclear},
	{"the first line is folded", " From: bad@ok.example\r\nFrom: good@ok.example\r\n", unclear},
	{"a line of white space", "From: good@ok.example\r\n \r\nFrom: bad@ok.example\r\n", unclear},
	{"a line of white space in another field", "X: y\r\n\t\r\n From: bad@ok.example\r\nFrom: good@ok.example\r\n", unclear},
	{"a field of white space alone", "From: good@ok.example\r\nX: \r\n \r\n", unclear},
	{"NUL in From", "From: good@ok.example\x00, bad@ok.example\r\n", unclear},
	{"NUL in the name", "From\x00: bad@ok.example\r\nFrom: good@ok.example\r\n", unclear},
	{"NUL in another field", "X: \x00\r\nFrom: good@ok.example\r\n", unclear},
	{"bare LF", "X: y\nFrom: bad@ok.example\r\nFrom: good@ok.example\r\n", unclear},
	{"bare CR", "X: y\rFrom: bad@ok.example\r\nFrom: good@ok.example\r\n", unclear},
	{"bare LF in front of the body", "From: good@ok.example\r\n\nFrom: bad@ok.example\r\n", unclear},
	{"a name that looks like From", "Frоm: bad@ok.example\r\nFrom: good@ok.example\r\n", unclear},
	{"empty", "From:\r\n", unclear},
	{"white space", "From:  \r\n", unclear},
	{"an empty address", "From: <>\r\n", unclear},
	{"an empty group", "From: nobody:;\r\n", unclear},
	{"a group in a group", "From: a: b: good@ok.example;;\r\n", unclear},
	{"a group without an end", "From: a: good@ok.example\r\n", unclear},
	{"a group without a name", "From: : good@ok.example;\r\n", unclear},
	{"no domain", "From: good\r\n", unclear},
	{"no local part", "From: @all.example\r\n", unclear},
	{"an empty element", "From: good@ok.example,, good@ok.example\r\n", unclear},
	{"a comma at the end", "From: good@ok.example,\r\n", unclear},
	{"a comma first", "From: ,good@ok.example\r\n", unclear},
	{"a semicolon", "From: good@ok.example; bad@ok.example\r\n", unclear},
	{"no comma", "From: good@ok.example bad@ok.example\r\n", unclear},
	{"no comma after a bracket", "From: <good@ok.example> <bad@ok.example>\r\n", unclear},
	{"an address after the bracket", "From: <good@ok.example>bad@ok.example\r\n", unclear},
	{"an address in front of the bracket", "From: bad@ok.example <good@ok.example>\r\n", unclear},
	{"a bracket in a bracket", "From: <<good@ok.example>>\r\n", unclear},
	{"no end of the bracket", "From: <good@ok.example\r\n", unclear},
	{"a route", "From: <@evil.example,@x.example:good@ok.example>\r\n", unclear},
	{"a route without an end", "From: <@evil.example:good@ok.example\r\n", unclear},
	{"a quoted pair in front of the comma", "From: <good@ok.example>\\,<bad@ok.example>\r\n", unclear},
	{"an encoded bracket", "From: =?utf-8?q?<good@ok.example>?=, <bad@ok.example>\r\n", unclear},
	{"an encoded word as the local part", "From: =?utf-8?q?bad=40evil?=@ok.example\r\n", unclear},
	{"an encoded word as a quoted local part", "From: \"=?utf-8?q?bad=40evil?=\"@all.example\r\n", unclear},
	{"a comment with an address", "From: good@ok.example (bad@ok.example)\r\n", unclear},
	{"a comment without an end", "From: good@ok.example (bad\r\n", unclear},
	{"a comment within an address", "From: good(x)@ok.example\r\n", unclear},
	{"space within an address", "From: good @ok.example\r\n", unclear},
	{"a name with an unquoted comma", "From: Man, Good <good@ok.example>\r\n", unclear},
	{"a quoted name without an end", "From: \"Good <good@ok.example>\r\n", unclear},
	{"two at signs", "From: bad@evil.example@ok.example\r\n", unclear},
	{"eight bit that is no UTF-8", "From: M\xe4x <good@ok.example>\r\n", unclear},
	{"a control character", "From: \x01good@ok.example\r\n", unclear},
	{"a domain literal with an at sign", "From: bad@[x@ok.example]\r\n", unclear},
	{"the header section is too long", "X: " + strings.Repeat("x", maxHeader) + "\r\nFrom: good@ok.example\r\n", unclear},
	{"the header section is too long after From", "From: good@ok.example\r\nX: " + strings.Repeat("x", maxHeader) + "\r\nFrom: bad@ok.example\r\n", unclear},
}

func TestContent(t *testing.T) {
	for _, tt := range headers {
		t.Run(tt.name, func(t *testing.T) {
			for _, text := range []string{tt.text, tt.text + "\r\ntext\r\n"} {
				c := content(t, text)
				if got := outcome(t, CheckContent(listed, c)); got != tt.want {
					t.Errorf("%.200q: %s, want %s", text, got, tt.want)
				}
				if r := CheckContent(new(account.Account), c); !r.IsZero() {
					t.Errorf("%.200q is refused without a list: %v", text, r)
				}
			}
		})
	}
}

// TestSegments has each header section begin at each place in front of a border of
// segments.
func TestSegments(t *testing.T) {
	for _, tt := range headers {
		if len(tt.text) >= maxHeader || strings.HasPrefix(tt.text, "\r\n") || strings.HasPrefix(tt.text, " ") {
			continue
		}
		for _, border := range []int{codec.FirstSegmentSize, codec.FirstSegmentSize + codec.SegmentSize} {
			for cut := range len(tt.text) + 2 {
				c := codec.NewContent(nil)
				text := "X: " + strings.Repeat("x", border-cut-5) + "\r\n" + tt.text + "\r\n"
				if err := c.Append([]byte(text)); err != nil {
					t.Fatal(err)
				}
				if got := outcome(t, CheckContent(listed, c)); got != tt.want {
					t.Errorf("%s, %d octets in front of %d: %s, want %s", tt.name, cut, border, got, tt.want)
				}
				c.Release()
			}
		}
	}
}

// FuzzContent holds that a message that is allowed is so for another reader too: its only
// From field has listed mailboxes alone.
func FuzzContent(f *testing.F) {
	for _, tt := range headers {
		if len(tt.text) < 1<<10 {
			f.Add([]byte(tt.text + "\r\ntext\r\n"))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := codec.NewContent(nil)
		defer c.Release()
		if err := c.Append(text); err != nil {
			t.Fatal(err)
		}
		if !CheckContent(listed, c).IsZero() {
			return
		}
		fields := 0
		for line := range bytes.SplitSeq(text, []byte("\r\n")) {
			if len(line) == 0 {
				break
			}
			if name, _, _ := bytes.Cut(line, []byte(":")); strings.EqualFold(strings.TrimRight(string(name), " \t\x00"), "from") {
				fields++
			}
		}
		if fields != 1 {
			t.Fatalf("%d From fields in %q", fields, text)
		}
		m, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil {
			return // it is the stricter one
		}
		list, err := m.Header.AddressList("From")
		if err != nil {
			return
		}
		for _, a := range list {
			if !listed.MaySendAs(a.Address) {
				t.Fatalf("%q is allowed, and is from %q", text, a.Address)
			}
		}
	})
}
