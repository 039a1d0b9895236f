// Package senders holds messages to the list of senders of their account: the reverse-path
// (RFC 5321 section 4.1.1.2) and the From field (RFC 5322 section 3.6.2).
//
// Programs read a From field that is not quite right in different ways: two fields, an
// address in a comment, a space before the colon, a bare CR (Chen, Paxson, Jiang,
// "Composition Kills", 2020). What the provider would show must be what was checked. So a
// header section that is not as RFC 5322 has it, in the syntax for today, is refused. A
// phrase may have dots all the same, as in "J. Doe". Sender and Resent-From are not
// looked at, since providers go by From.
package senders

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/codec/header"
	"xoauth2-proxy/internal/account"
)

// maxHeader is the longest header section that is read, in octets.
const maxHeader = 256 << 10

// CheckPath returns the refusal of a reverse-path, as of codec.ParseMail, or NoReply. The
// null reverse-path is allowed: bounces have it.
func CheckPath(a *account.Account, path []byte) codec.Reply {
	if len(a.Senders) == 0 || len(path) == 0 {
		return codec.NoReply
	}
	at := bytes.LastIndexByte(path, '@')
	if at < 0 || !a.MaySendAs(unquoted(path[:at])+string(path[at:])) {
		return codec.ReplySenderNotListed
	}
	return codec.NoReply
}

// CheckContent returns the refusal of a message for its From field, or NoReply. Each
// mailbox of the field must be allowed.
func CheckContent(a *account.Account, c *codec.Content) codec.Reply {
	if len(a.Senders) == 0 {
		return codec.NoReply
	}
	body, ok := from(c)
	if !ok {
		return codec.ReplyFromUnclear
	}
	list, ok := mailboxes(body)
	if !ok {
		return codec.ReplyFromUnclear
	}
	for _, mailbox := range list {
		if !a.MaySendAs(mailbox) {
			return codec.ReplyFromNotListed
		}
	}
	return codec.NoReply
}

// from returns the body of the only From field; ok is false unless there is exactly one in
// a well-formed header section.
func from(c *codec.Content) (body []byte, ok bool) {
	h := header.Of(c, maxHeader)
	n := 0
	for f := (header.Field{}); h.Next(&f); {
		if f.Name == nil || !wellFormed(f.Raw) {
			return nil, false
		}
		if f.Is("From") {
			body = f.Body
			n++
		}
	}
	return body, n == 1 && h.Whole()
}

// wellFormed reports whether the lines of a field are lines for every program: there is no
// NUL, no bare CR or LF, and no line of white space alone.
func wellFormed(raw []byte) bool {
	for line := range bytes.SplitSeq(bytes.TrimSuffix(raw, []byte("\r\n")), []byte("\r\n")) {
		if bytes.ContainsAny(line, "\r\n\x00") || len(bytes.Trim(line, " \t")) == 0 {
			return false
		}
	}
	return true
}

// unquoted returns a local part without its quotes, if it has any.
func unquoted(local []byte) string {
	if len(local) < 2 || local[0] != '"' {
		return string(local)
	}
	var b strings.Builder
	for i := 1; i < len(local)-1; i++ {
		if local[i] == '\\' && i < len(local)-2 {
			i++
		}
		b.WriteByte(local[i])
	}
	return b.String()
}

// isAtext reports whether c is a character of an atom (RFC 5322 section 3.2.3, RFC 6532
// section 3.2).
func isAtext(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= utf8.RuneSelf ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}
