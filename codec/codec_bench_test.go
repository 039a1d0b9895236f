package codec_test

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

func BenchmarkParseCommand(b *testing.B) {
	for _, bm := range []struct{ name, line string }{
		{"verb=DATA/params=0", "DATA\r\n"},
		{"verb=MAIL/params=2", "MAIL FROM:<a@example.com> SIZE=1000 BODY=8BITMIME\r\n"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			in := []byte(bm.line)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, n, err := codec.ParseCommand(in, codec.EndCRLF); err != nil || n != len(in) {
					b.Fatalf("n = %d, err = %v", n, err)
				}
			}
		})
	}
}

func BenchmarkParseMail(b *testing.B) {
	for _, bm := range []struct{ name, args string }{
		{"params=0", "FROM:<bounce-1234@mail.example.com>"},
		{"params=2", "FROM:<bounce-1234@mail.example.com> SIZE=1000 BODY=8BITMIME"},
		{"params=5", "FROM:<bounce-1234@mail.example.com> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=QQ314159 AUTH=<>"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			in := []byte(bm.args)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.ParseMail(in, allExtensions); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseRcpt(b *testing.B) {
	for _, bm := range []struct{ name, args string }{
		{"params=0", "TO:<some.recipient@example.net>"},
		{"params=2", "TO:<some.recipient@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;some.recipient@example.net"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			in := []byte(bm.args)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.ParseRcpt(in, allExtensions); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchContent returns content of about size octets, in lines of 78, one of
// every dots of which starts with a dot; 0 means none.
func benchContent(size, dots int) string {
	var s strings.Builder
	for i := 0; s.Len() < size; i++ {
		line := strings.Repeat("QUJD", 19)
		if dots > 0 && i%dots == 0 {
			line = "." + line[1:]
		}
		s.WriteString(line + "\r\n")
	}
	return s.String()
}

func BenchmarkDecode(b *testing.B) {
	for _, bm := range []struct {
		size, dots int
		normalise  bool
	}{
		{1 << 10, 0, false}, {10 << 10, 0, false}, {10 << 10, 10, false}, {10 << 10, 0, true}, {1 << 20, 0, false},
	} {
		b.Run(fmt.Sprintf("size=%d/dots=%d/normalise=%v", bm.size, bm.dots, bm.normalise), func(b *testing.B) {
			wire := []byte(strings.ReplaceAll(benchContent(bm.size, bm.dots), "\n.", "\n..") + ".\r\n")
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			d := codec.DataDecoder{Normalise: bm.normalise}
			for b.Loop() {
				c := codec.NewContent(nil)
				d.Reset(0)
				if n, done := d.Decode(wire, c); n != len(wire) || !done || d.Err() != nil {
					b.Fatalf("n = %d, done = %v, err = %v", n, done, d.Err())
				}
				c.Release()
			}
		})
	}
}

func BenchmarkWriteDotStuffed(b *testing.B) {
	for _, bm := range []struct{ size, dots int }{{10 << 10, 0}, {10 << 10, 10}, {1 << 20, 0}} {
		b.Run(fmt.Sprintf("size=%d/dots=%d", bm.size, bm.dots), func(b *testing.B) {
			c := codec.NewContent(nil)
			defer c.Release()
			if err := c.Append([]byte(benchContent(bm.size, bm.dots))); err != nil {
				b.Fatal(err)
			}
			w := bufio.NewWriterSize(io.Discard, 16<<10)
			b.SetBytes(c.Size())
			b.ReportAllocs()
			for b.Loop() {
				if err := c.WriteDotStuffed(w, 0, c.NumSegments()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReplyAppendTo(b *testing.B) {
	for _, bm := range []struct {
		name  string
		reply codec.Reply
	}{
		{"lines=1", codec.ReplyOK},
		{"lines=3", codec.Reply{Code: 550, Enhanced: codec.EnhancedCode{5, 1, 1}, Text: "The account\ndoes not exist\nhttps://support.example"}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			dst := make([]byte, 0, 512)
			b.ReportAllocs()
			for b.Loop() {
				dst = bm.reply.AppendTo(dst[:0])
			}
		})
	}
}

func BenchmarkParseReply(b *testing.B) {
	for _, bm := range []struct{ name, in string }{
		{"lines=1", "250 2.0.0 OK  1700000000 d2e1a72fcca58-6c4 - gsmtp\r\n"},
		{"lines=3", "550-5.1.1 The account\r\n550-5.1.1 does not exist.\r\n550 5.1.1  https://support.example\r\n"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			in := []byte(bm.in)
			b.ReportAllocs()
			for b.Loop() {
				if _, n, err := codec.ParseReply(in); err != nil || n != len(in) {
					b.Fatalf("n = %d, err = %v", n, err)
				}
			}
		})
	}
}
