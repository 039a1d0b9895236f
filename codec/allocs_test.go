//go:build !race && !bufdebug

package codec_test

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

// TestNoAllocations is the gate for what runs on the event loops.
func TestNoAllocations(t *testing.T) {
	line := []byte("MAIL FROM:<a@example.com> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=x+2B AUTH=<>\r\n")
	mail := []byte("FROM:<@r.example:\"a b\"@example.com> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=x+2B SMTPUTF8 AUTH=<>")
	rcpt := []byte("TO:<δ@[IPv6:2001:db8::1]> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;δ+2B")
	plain := []byte("AGFAZXhhbXBsZS5jb20Ac2VjcmV0")
	wire := []byte(strings.Repeat("..stuffed\r\n"+strings.Repeat("x", 70)+"\r\n", 100) + ".\r\n")
	bad := []byte("a\nb\rc\r\n.\r\n")
	dst := make([]byte, 0, 1024)
	c := codec.NewContent(codec.NewBudget(1 << 30))
	defer c.Release()
	var d, normalising codec.DataDecoder
	normalising.Normalise = true
	if err := c.Append(make([]byte, codec.FirstSegmentSize+1)); err != nil { // the rest fits this segment
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(io.Discard, 4096)
	parsedMail, err := codec.ParseMail(mail, allExtensions)
	if err != nil {
		t.Fatal(err)
	}
	parsedRcpt, err := codec.ParseRcpt(rcpt, allExtensions)
	if err != nil {
		t.Fatal(err)
	}
	multiline := codec.Reply{Code: 550, Enhanced: codec.EnhancedCode{5, 1, 1}, Text: "a\nb\rc\nd"}

	gates := map[string]func(){
		"ParseCommand":      func() { codec.ParseCommand(line, codec.EndCRLF) },
		"ParseLine":         func() { codec.ParseLine(line, codec.MaxAuthLine, codec.EndCRLF) },
		"ParseMail":         func() { codec.ParseMail(mail, allExtensions) },
		"ParseRcpt":         func() { codec.ParseRcpt(rcpt, allExtensions) },
		"ParseBdat":         func() { codec.ParseBdat([]byte("100 LAST")) },
		"ParseAuth":         func() { codec.ParseAuth([]byte("PLAIN =")) },
		"DecodeBase64":      func() { codec.DecodeBase64(dst, plain) },
		"ParsePlain":        func() { codec.ParsePlain([]byte("\x00u\x00p")) },
		"MailArgs.AppendTo": func() { parsedMail.AppendTo(dst, allExtensions) },
		"RcptArgs.AppendTo": func() { parsedRcpt.AppendTo(dst, allExtensions) },
		"Reply.AppendTo":    func() { multiline.AppendTo(dst) },
		"fixed reply":       func() { codec.ReplyOK.AppendTo(dst) },
		"WriteDotStuffed":   func() { _ = c.WriteDotStuffed(w, 0, c.NumSegments()) },
		"CheckText":         func() { _ = c.CheckText() },
		"line buffer":       func() { codec.PutBuffer(codec.GetBuffer()) },
	}
	for name, f := range gates {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	for name, in := range map[string][]byte{"good": wire[:2000], "bad": bad} {
		for mode, d := range map[string]*codec.DataDecoder{"refusing": &d, "normalising": &normalising} {
			n := testing.AllocsPerRun(5, func() {
				d.Reset(1 << 20)
				d.Decode(in, c)
			})
			if n != 0 {
				t.Errorf("Decode of %s content, %s: %v allocations", name, mode, n)
			}
		}
	}
}
