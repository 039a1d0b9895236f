package codec_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"xoauth2-proxy/codec"
)

func TestContentSegments(t *testing.T) {
	const first, further = codec.FirstSegmentSize, codec.SegmentSize
	before := codec.LiveSegments()
	for _, tt := range []struct{ size, segments, charged int }{
		{0, 0, 0},
		{1, 1, first},
		{first, 1, first},
		{first + 1, 2, first + further},
		{first + further, 2, first + further},
		{first + further + 1, 3, first + 2*further},
		{1 << 20, 17, first + 16*further},
	} {
		in := make([]byte, tt.size)
		for i := range in {
			in[i] = byte(i % 251)
		}
		for _, piece := range []int{max(tt.size, 1), 1000, first - 1} {
			budget := codec.NewBudget(0)
			c := codec.NewContent(budget)
			for b := in; len(b) > 0; b = b[min(piece, len(b)):] {
				if err := c.Append(b[:min(piece, len(b))]); err != nil {
					t.Fatal(err)
				}
			}
			if c.Size() != int64(tt.size) || c.NumSegments() != tt.segments || budget.Used() != int64(tt.charged) {
				t.Errorf("%d octets: size %d, %d segments, %d charged", tt.size, c.Size(), c.NumSegments(), budget.Used())
			}
			if live := codec.LiveSegments() - before; live != int64(tt.segments) {
				t.Errorf("%d octets: %d live segments", tt.size, live)
			}
			var joined []byte
			for i := range c.NumSegments() {
				joined = append(joined, c.Segment(i)...)
			}
			if !bytes.Equal(joined, in) || contentString(t, c) != string(in) {
				t.Errorf("%d octets in pieces of %d changed", tt.size, piece)
			}
			c.Release()
			if budget.Used() != 0 || codec.LiveSegments() != before {
				t.Errorf("%d octets: %d charged, %d live after Release", tt.size, budget.Used(), codec.LiveSegments()-before)
			}
		}
	}
}

func TestContentBudget(t *testing.T) {
	budget := codec.NewBudget(codec.FirstSegmentSize + codec.SegmentSize)
	c := codec.NewContent(budget)
	defer c.Release()
	if err := c.Append(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	tooMuch := make([]byte, codec.FirstSegmentSize+codec.SegmentSize)
	if err := c.Append(tooMuch); err != codec.ErrBudget || c.Size() != 100 || budget.Used() != codec.FirstSegmentSize {
		t.Fatalf("above the budget: %v, size %d, %d charged", err, c.Size(), budget.Used())
	}
	if err := c.Append(tooMuch[100:]); err != nil || budget.Used() != budget.Limit() {
		t.Fatalf("at the budget: %v, %d charged", err, budget.Used())
	}
	other := codec.NewContent(budget)
	defer other.Release()
	if err := other.Append([]byte("x")); err != codec.ErrBudget || other.NumSegments() != 0 {
		t.Errorf("another content: %v", err)
	}
	if err := other.Append(nil); err != nil {
		t.Errorf("nothing appended: %v", err)
	}
}

func TestBudgetConcurrently(t *testing.T) {
	budget := codec.NewBudget(10)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if budget.TryReserve(3) {
					if used := budget.Used(); used < 3 || used > 9 {
						t.Errorf("%d of %d used", used, budget.Limit())
					}
					budget.Release(3)
				}
			}
		})
	}
	wg.Wait()
	if budget.Used() != 0 || !budget.TryReserve(10) || budget.TryReserve(1) {
		t.Errorf("%d used at the end", budget.Used())
	}
}

func TestWriteDotStuffed(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"empty", "", ".\r\n"},
		{"plain", "a\r\n", "a\r\n.\r\n"},
		{"no line end", "a", "a\r\n.\r\n"},
		{"CR at the end", "a\r", "a\r\r\n.\r\n"},
		{"LF at the end", "a\n", "a\n\r\n.\r\n"},
		{"LF only", "\n", "\n\r\n.\r\n"},
		{"dot", ".", "..\r\n.\r\n"},
		{"dots at line starts", ".a\r\n..b\r\n.\r\n", "..a\r\n...b\r\n..\r\n.\r\n"},
		{"dots elsewhere", "a.b\r\nc.\r\n", "a.b\r\nc.\r\n.\r\n"},
		{"after bare LF", "a\n.b\r\n", "a\n.b\r\n.\r\n"},
		{"after bare CR", "a\r.b\r\n", "a\r.b\r\n.\r\n"},
		{"empty lines", "\r\n\r\n.\r\n", "\r\n\r\n..\r\n.\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for shift := range len(tt.content) + 1 { // a segment border at every place
				filler := ""
				if shift > 0 {
					filler = strings.Repeat("x", codec.FirstSegmentSize-shift-2) + "\r\n"
				}
				c := codec.NewContent(nil)
				if err := c.Append([]byte(filler + tt.content)); err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				if err := c.WriteDotStuffed(&b, 0, c.NumSegments()); err != nil || b.String() != filler+tt.want {
					t.Errorf("border at %d: %v, %q", shift, err, strings.TrimLeft(b.String(), "x"))
				}
				c.Release()
			}
		})
	}
}

// failingWriter fails at the write of that number.
type failingWriter struct{ left int }

var errWriter = errors.New("no more")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errWriter
	}
	return len(p), nil
}

func TestContentWriteErrors(t *testing.T) {
	c := codec.NewContent(nil)
	defer c.Release()
	if err := c.Append([]byte(".a\r\n.b" + strings.Repeat("x", codec.FirstSegmentSize))); err != nil {
		t.Fatal(err)
	}
	for writes, failed := 0, true; failed; writes++ {
		err := c.WriteDotStuffed(&failingWriter{writes}, 0, c.NumSegments())
		if failed = err != nil; failed && err != errWriter || !failed && writes < 8 || writes > 20 {
			t.Fatalf("after %d writes: %v", writes, err)
		}
	}
	if n, err := c.WriteTo(&failingWriter{1}); n != codec.FirstSegmentSize || err != errWriter {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
}

func TestContentCheckText(t *testing.T) {
	for in, want := range map[string]error{
		"": nil, "a": nil, "\r\n": nil, "a\r\n\r\nb": nil,
		"\n": codec.ErrBareLF, "a\nb": codec.ErrBareLF, "\r\n\n": codec.ErrBareLF,
		"\r": codec.ErrBareCR, "a\rb": codec.ErrBareCR, "\r\r\n": codec.ErrBareCR, "a\r\n\r": codec.ErrBareCR,
	} {
		for shift := range len(in) + 1 {
			c := codec.NewContent(nil)
			if err := c.Append([]byte(strings.Repeat("x", codec.FirstSegmentSize-shift) + in)); err != nil {
				t.Fatal(err)
			}
			if err := c.CheckText(); err != want {
				t.Errorf("%q, border at %d: %v, want %v", in, shift, err, want)
			}
			c.Release()
		}
	}
}

func TestLineBuffers(t *testing.T) {
	b := codec.GetBuffer()
	if b.Len() != 0 {
		t.Fatalf("a buffer with %d octets", b.Len())
	}
	b.B = append(b.B, "EHLO x\r\n"...)
	codec.PutBuffer(b)
	big := codec.GetBuffer()
	big.B = make([]byte, 0, 1<<20)
	codec.PutBuffer(big)
	for range 100 {
		b := codec.GetBuffer()
		if cap(b.B) >= 1<<20 || b.Len() != 0 {
			t.Fatalf("a buffer of %d octets was kept (length %d)", cap(b.B), b.Len())
		}
		defer codec.PutBuffer(b)
	}
}
