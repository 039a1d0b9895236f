//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// letter is a message of the corpus. Its lines end in CRLF, the last one too;
// it is what arrives, byte for byte.
type letter struct {
	name    string
	content []byte
	large   bool // 25 MB
}

// sizeOfLarge is what the large letter has at least: 25 MB.
const sizeOfLarge = 25 << 20

// maxLine is the longest line of a message without its CRLF (RFC 5322 section
// 2.1.1).
const maxLine = 998

// corpus returns messages that clients and relays have been known to damage.
func corpus() []letter {
	return []letter{
		{name: "text", content: compose("text/plain; charset=us-ascii", "7bit",
			"Hello,\r\n\r\nthis is a message.  It has two paragraphs,\r\n\r\n\ttabs\tand trailing blanks \t \r\n-- \r\nsignature\r\n")},
		{name: "UTF-8", content: compose("text/plain; charset=utf-8", "8bit",
			"Grüße aus Köln, žluťoučký kůň, Ελληνικά, кириллица, 你好, 🐎\r\n"+strings.Repeat("ßµ€", 100)+"\r\n")},
		{name: "Latin-1", content: compose("text/plain; charset=iso-8859-1", "8bit",
			"Gr\xfc\xdfe aus K\xf6ln\r\n"+everyHighOctet()+"\r\n")},
		{name: "dots", content: compose("text/plain", "7bit",
			".\r\n..\r\n...\r\n.leading\r\n..leading\r\n \r\n.\r\n\r\n.\r\ntrailing.\r\n.a\r\n..\r\nend.\r\n..b\r\n.\r\n")},
		{name: "998-octet lines", content: compose("text/plain", "7bit",
			strings.Repeat("x", maxLine)+"\r\n"+strings.Repeat("y z", maxLine/3)+"\r\n"+strings.Repeat("0123456789", 99)+"abcdefgh\r\nshort\r\n")},
		{name: "empty body", content: compose("text/plain", "7bit", "")},
		{name: "25 MB", large: true, content: compose("text/plain; charset=utf-8", "8bit", largeBody())},
	}
}

// compose makes a message with all header fields that an MTA would add if they
// were missing.
func compose(contentType, encoding, body string) []byte {
	id := digest([]byte(contentType + body))[:16]
	return []byte("Date: Thu, 02 Jan 2025 03:04:05 +0000\r\n" +
		"From: Sender <sender@example.com>\r\n" +
		"To: Recipient <recipient@example.com>\r\n" +
		"Subject: a message of the corpus\r\n" +
		"Message-ID: <" + id + "@example.com>\r\n" +
		"MIME-Version: 1.0\r\n" +
		"Content-Type: " + contentType + "\r\n" +
		"Content-Transfer-Encoding: " + encoding + "\r\n" +
		"\r\n" + body)
}

func everyHighOctet() string {
	var b []byte
	for c := 0x80; c <= 0xff; c++ {
		b = append(b, byte(c))
	}
	return string(b)
}

// largeBody is the same at each run: lines of all lengths up to the longest,
// some that begin with a dot, with 8-bit text among them.
func largeBody() string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.Grow(sizeOfLarge + maxLine)
	for n := 0; b.Len() < sizeOfLarge; n++ {
		switch n % 50 {
		case 7:
			b.WriteString(".")
		case 8:
			b.WriteString("..")
		case 9:
			b.WriteString("größer als ")
		}
		length := 76
		if n%100 == 0 {
			length = r.IntN(maxLine - 20)
		}
		bits, left := uint64(0), 0
		for range length {
			if left == 0 {
				bits, left = r.Uint64(), 10
			}
			b.WriteByte(letters[bits&63])
			bits >>= 6
			left--
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// withLF returns the content with the line ends of Unix, as programs take it
// on standard input.
func withLF(content []byte) []byte { return bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")) }

// eachLetter runs send with each message of the corpus as a subtest, by turns
// from the two accounts of the stack. After send, the provider must have the
// message under the right account.
func eachLetter(t *testing.T, s *stack, send func(t *testing.T, m mail)) {
	sendLetters(t, s, corpus(), send, s.arrived)
}

// eachLetterTraced is eachLetter for a mail transfer agent.
func eachLetterTraced(t *testing.T, s *stack, send func(t *testing.T, m mail)) {
	sendLetters(t, s, corpus(), send, s.arrivedTraced)
}

// smallLetters is the corpus without its large message.
func smallLetters() []letter {
	return slices.DeleteFunc(corpus(), func(l letter) bool { return l.large })
}

// sendLetters is what they have in common.
func sendLetters(t *testing.T, s *stack, letters []letter, send func(t *testing.T, m mail), check func(*testing.T, mail)) {
	logins := []string{gmailUser, outlookUser}
	for i, l := range letters {
		ok := t.Run(l.name, func(t *testing.T) {
			if err := s.provider.ClearMessages(); err != nil {
				t.Fatal(err)
			}
			login := logins[i%len(logins)]
			m := mail{login: login, from: login, to: []string{fmt.Sprintf("recipient%d@example.com", i)}, content: l.content}
			send(t, m)
			check(t, m)
		})
		if !ok {
			return // a late arrival would be taken for the next message's
		}
	}
}
