package header

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

// idField is a Message-ID field with its folding.
var idField = regexp.MustCompile(`(?is)^message-id:(.*?)(\r\n[^ \t]|(\r\n)?$)`)

// plainMessageID is MessageID as one would write it for a short header.
func plainMessageID(content string) string {
	if strings.HasPrefix(content, "\r\n") {
		return ""
	}
	header, _, _ := strings.Cut(content, "\r\n\r\n")
	for at := 0; ; {
		if m := idField.FindStringSubmatch(header[at:]); m != nil {
			id := strings.ReplaceAll(strings.Trim(m[1], " \t\r\n"), "\r\n", "")
			return id[:min(len(id), MaxMessageID)]
		}
		next := strings.Index(header[at:], "\r\n")
		if next < 0 {
			return ""
		}
		at += next + 2
	}
}

// messageID is MessageID of content with so many octets of other fields before it.
func messageID(t *testing.T, before int, content string) string {
	t.Helper()
	c := codec.NewContent(nil)
	defer c.Release()
	head := strings.Repeat("X: "+strings.Repeat("x", 995)+"\r\n", before/1000)
	if rest := before % 1000; rest > 0 {
		head += "Y:" + strings.Repeat("y", max(rest, 4)-4) + "\r\n"
	}
	if err := c.Append([]byte(head + content)); err != nil {
		t.Fatal(err)
	}
	id, ok := strings.CutPrefix(string(MessageID([]byte("kept"), c)), "kept")
	if !ok {
		t.Errorf("%q is not after what dst had", id)
	}
	return id
}

var messageIDs = []struct{ name, content, want string }{
	{"plain", "From: a@example.com\r\nMessage-ID: <1@example.com>\r\nTo: b@example.com\r\n\r\nx\r\n", "<1@example.com>"},
	{"first field", "Message-ID: <1@example.com>\r\n\r\nx\r\n", "<1@example.com>"},
	{"other case", "mEsSaGe-iD:<1@example.com>\r\n\r\nx\r\n", "<1@example.com>"},
	{"white space around", "Message-ID: \t <1@example.com> \t\r\n\r\n", "<1@example.com>"},
	{"folded before", "Message-ID:\r\n <1@example.com>\r\n\r\n", "<1@example.com>"},
	{"folded within", "Message-ID: <1\r\n\t@example.com>\r\nTo: b@example.com\r\n\r\n", "<1\t@example.com>"},
	{"in the body", "From: a@example.com\r\n\r\nMessage-ID: <1@example.com>\r\n", ""},
	{"no header", "\r\nMessage-ID: <1@example.com>\r\n", ""},
	{"in a folded line", "Subject: a\r\n Message-ID: <1@example.com>\r\n\r\n", ""},
	{"longer name", "Message-IDs: <1@example.com>\r\nMessage-ID: <2@example.com>\r\n\r\n", "<2@example.com>"},
	{"other field", "Resent-Message-ID: <1@example.com>\r\nX-Message-ID: <2@example.com>\r\n\r\n", ""},
	{"name in two words", "Message ID: <1@example.com>\r\n\r\n", ""},
	{"name without a colon", "Message-ID\r\nMessage-ID: <1@example.com>\r\n\r\n", "<1@example.com>"},
	{"two", "Message-ID: <1@example.com>\r\nMessage-ID: <2@example.com>\r\n\r\n", "<1@example.com>"},
	{"empty", "Message-ID: \r\nTo: b@example.com\r\n\r\n", ""},
	{"no end", "Message-ID: <1@example.com>", "<1@example.com>"},
	{"nothing", "", ""},
	{"long", "Message-ID: <" + strings.Repeat("1", 2000) + ">\r\n\r\n", "<" + strings.Repeat("1", MaxMessageID-1)},
	{"NUL and 8 bit", "Message-ID: <\x00\xff@example.com>\r\n\r\n", "<\x00\xff@example.com>"},
}

// TestMessageID: the Message-ID is found, wherever the segments of the content are cut.
func TestMessageID(t *testing.T) {
	for _, tt := range messageIDs {
		t.Run(tt.name, func(t *testing.T) {
			if got := plainMessageID(tt.content); got != tt.want {
				t.Errorf("by the plain way: %q, want %q", got, tt.want)
			}
			for cut := range min(len(tt.content), 100) {
				if got := messageID(t, codec.FirstSegmentSize-cut, tt.content); cut < codec.FirstSegmentSize && !strings.HasPrefix(tt.content, "\r\n") && got != tt.want {
					t.Errorf("segments cut at %d: %q, want %q", cut, got, tt.want)
				}
			}
		})
	}
}

// TestMessageIDFar: a field after 32 KiB is not looked for, and one of discarded content is
// not found.
func TestMessageIDFar(t *testing.T) {
	field := "Message-ID: <1@example.com>\r\n\r\n"
	if got := messageID(t, 30<<10, field); got != "<1@example.com>" {
		t.Errorf("%q after 30 KiB", got)
	}
	if got := messageID(t, 33<<10, field); got != "" {
		t.Errorf("%q after 33 KiB", got)
	}
	c := codec.NewContent(nil)
	defer c.Release()
	if err := c.Append([]byte(field)); err != nil {
		t.Fatal(err)
	}
	c.Discard()
	if got := MessageID(nil, c); len(got) > 0 {
		t.Errorf("%q of discarded content", got)
	}
}

func FuzzMessageID(f *testing.F) {
	for _, tt := range messageIDs {
		f.Add(tt.content, uint16(0))
		f.Add(tt.content, uint16(20))
	}
	f.Fuzz(func(t *testing.T, content string, cut uint16) {
		if len(content) > 4<<10 {
			return
		}
		want := plainMessageID(content)
		if got := messageID(t, 0, content); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		if strings.HasPrefix(content, " ") || strings.HasPrefix(content, "\t") || strings.HasPrefix(content, "\r\n") {
			return // belongs to the field before, or ends the header
		}
		if got := messageID(t, codec.FirstSegmentSize-int(cut)%1000, content); got != want {
			t.Fatalf("segments cut at %d: %q, want %q", int(cut)%1000, got, want)
		}
	})
}

func BenchmarkMessageID(b *testing.B) {
	for _, bm := range []struct {
		name   string
		fields int
	}{{"fields=10", 10}, {"fields=50", 50}} {
		b.Run(bm.name, func(b *testing.B) {
			c := codec.NewContent(nil)
			defer c.Release()
			header := bytes.Repeat([]byte("Received: from a.example.com by b.example.com with ESMTPS\r\n"), bm.fields)
			if err := c.Append(append(header, "Message-ID: <20261130.1@example.com>\r\n\r\nbody\r\n"...)); err != nil {
				b.Fatal(err)
			}
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				if dst = MessageID(dst[:0], c); len(dst) != 24 {
					b.Fatalf("%q", dst)
				}
			}
		})
	}
}
