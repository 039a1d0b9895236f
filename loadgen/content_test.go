package main

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
)

// render returns what a template sends for x in one of its forms.
func render(chunks []chunk, x *id) []byte {
	var all []byte
	for i := range chunks {
		all = chunks[i].appendTo(all, x)
	}
	return all
}

func TestTemplate(t *testing.T) {
	x := newID("0123abcd")
	x.set(42)
	for _, size := range []int{minSize, 800, 1 << 10, 2 << 10, 10 << 10, 100 << 10, 1 << 20} {
		tmpl := newTemplate("0123abcd", size)
		raw, stuffed := render(tmpl.raw, &x), render(tmpl.stuffed, &x)
		if len(raw)+headerSize != size {
			t.Errorf("size %d: %d octets", size, len(raw))
		}
		if size > 4<<10 && !bytes.Contains(stuffed, []byte("\r\n..")) {
			t.Errorf("size %d: no line begins with a dot", size)
		}
		if n := bytes.Count(raw, x[:]); n < 1 || n < size/1100 {
			t.Errorf("size %d: the id is in it %d times", size, n)
		}
		for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n") {
				t.Errorf("size %d: bad line %q", size, line)
			}
		}
		// The oracle is the standard library's reader of dotted text, which
		// gives lines ended by LF.
		if !bytes.HasSuffix(stuffed, []byte("\r\n.\r\n")) {
			t.Errorf("size %d: the stuffed form does not end in the end-of-data line", size)
		}
		reader := textproto.NewReader(bufio.NewReader(bytes.NewReader(stuffed)))
		decoded, err := io.ReadAll(reader.DotReader())
		if err != nil || !bytes.Equal(decoded, bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))) {
			t.Errorf("size %d: the stuffed form decodes to something else (%v)", size, err)
		}
	}
}

func TestTemplateSum(t *testing.T) {
	for _, size := range []int{minSize, 10 << 10, 1 << 20} {
		tmpl := newTemplate("0123abcd", size)
		x := newID("0123abcd")
		for _, seq := range []int{0, 1, 9, 10, 1234567890, 9999999999} {
			x.set(seq)
			if got, want := tmpl.sum(&x), tmpl.checksum(&x); got != want {
				t.Errorf("size %d, message %d: sum %08x, want %08x", size, seq, got, want)
			}
		}
	}
}

func TestHeader(t *testing.T) {
	x := newID("0123abcd")
	x.set(42)
	for _, login := range []string{"a@b.example", strings.Repeat("a", maxLogin-10) + "@b.example"} {
		text := newHeader(login).appendTo([]byte("before"), &x, 0xbeef)[len("before"):]
		if len(text) != headerSize {
			t.Errorf("%d octets, want %d", len(text), headerSize)
		}
		m, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"X-Load-Id": "0123abcd/0000000042", "X-Load-Account": login, "X-Load-Sum": "0000beef",
			"Message-Id": "<0123abcd/0000000042@loadgen.example.com>",
		} {
			if got := m.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}

func TestHashesDiffer(t *testing.T) {
	tmpl, h := newTemplate("0123abcd", 10<<10), newHeader("a@b.example")
	x := newID("0123abcd")
	first, buf := tmpl.hash(h, &x, nil)
	again, buf := tmpl.hash(h, &x, buf)
	if first != again {
		t.Error("two hashes of one message")
	}
	x.set(1)
	if other, _ := tmpl.hash(h, &x, buf); other == first {
		t.Error("one hash of two messages")
	}
}

func TestSizeMix(t *testing.T) {
	var m sizeMix
	if err := m.UnmarshalText([]byte("1k:50,2k:30,10k:20")); err != nil {
		t.Fatal(err)
	}
	built := m.build("0123abcd")
	const n = 20000
	counts := map[int]int{}
	for seq := range n {
		counts[built.pick(seq).size]++
	}
	for size, share := range map[int]float64{1 << 10: 0.5, 2 << 10: 0.3, 10 << 10: 0.2} {
		if got := float64(counts[size]) / n; math.Abs(got-share) > 0.02 {
			t.Errorf("share of %d octets = %.3f, want %.1f", size, got, share)
		}
	}
	for _, bad := range []string{"", "10", "10x", "k", "1k:", "1k:0", "1k:-1", "1k,,2k", "1000m", "-1k", "1k:NaN", "9999999999999999m"} {
		if err := m.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken as %v", bad, m)
		}
	}
}
