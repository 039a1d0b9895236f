package header

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

// fields walks over text, and returns each field as name and body; "" for no name.
func fields(t testing.TB, text string, limit int) (list []string, whole bool) {
	t.Helper()
	c := codec.NewContent(nil)
	defer c.Release()
	if err := c.Append([]byte(text)); err != nil {
		t.Fatal(err)
	}
	h, raw := Of(c, limit), ""
	for f := (Field{}); h.Next(&f); {
		list = append(list, fmt.Sprintf("%s|%s", f.Name, f.Body))
		raw += string(f.Raw)
	}
	if !strings.HasPrefix(text, raw) {
		t.Errorf("the fields are\n%q\nof\n%q", raw, text)
	}
	return list, h.Whole()
}

func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"no header", "\r\nA: b\r\n", nil},
		{"fields", "A: b\r\nC:d\r\n\r\nE: f\r\n", []string{"A| b", "C|d"}},
		{"no body", "A: b\r\nC: d\r\n", []string{"A| b", "C| d"}},
		{"the last line does not end", "A: b\r\nC: d", []string{"A| b", "C| d"}},
		{"folded", "A: b\r\n c\r\n\td\r\nE: f\r\n\r\n", []string{"A| b\r\n c\r\n\td", "E| f"}},
		{"folded to the end", "A: b\r\n c", []string{"A| b\r\n c"}},
		{"white space alone belongs to the field", "A: b\r\n \r\nC: d\r\n\r\n", []string{"A| b\r\n ", "C| d"}},
		{"the first line is folded", " a: b\r\nC: d\r\n\r\n", []string{"|", "C| d"}},
		{"no colon", "abc\r\nC: d\r\n\r\n", []string{"|", "C| d"}},
		{"colon first", ": b\r\n\r\n", []string{"|"}},
		{"space in front of the colon", "A : b\r\n\r\n", []string{"|"}},
		{"eight bit in the name", "Ä: b\r\n\r\n", []string{"|"}},
		{"bare LF and bare CR end no line", "A: b\nC: d\rE: f\r\n\r\n", []string{"A| b\nC: d\rE: f"}},
		{"bare LF in front of an empty line", "A: b\r\n\nC: d\r\n\r\n", []string{"A| b", "|"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, whole := fields(t, tt.text, len(tt.text))
			if !slices.Equal(got, tt.want) || !whole {
				t.Errorf("%q, whole %v, want %q", got, whole, tt.want)
			}
			// The same at each place of the borders of the first segments.
			for _, border := range []int{codec.FirstSegmentSize, codec.FirstSegmentSize + codec.SegmentSize} {
				for cut := range len(tt.text) + 1 {
					first := "X:" + strings.Repeat("x", border-cut-4)
					text := first + "\r\n" + tt.text
					want := append([]string{strings.Replace(first, ":", "|", 1)}, tt.want...)
					if strings.HasPrefix(tt.text, " ") { // a line of the first field
						want[0] += "\r\n a: b"
						want = slices.Delete(want, 1, 2)
					}
					got, whole := fields(t, text, len(text))
					if !slices.Equal(got, want) || !whole {
						t.Fatalf("the border at %d in %q: %.60q, whole %v", cut, tt.text, got[1:], whole)
					}
				}
			}
		})
	}
}

// TestHeaderLimit walks over header sections that are longer than it may look at.
func TestHeaderLimit(t *testing.T) {
	const text = "A: b\r\nC: d\r\n\r\nE: f\r\n"
	for limit := range len(text) {
		got, whole := fields(t, text, limit)
		want := []string{}
		if limit > len("A: b\r\n") {
			want = append(want, "A| b")
		}
		if limit > len("A: b\r\nC: d\r\n") {
			want = append(want, "C| d")
		}
		if wantWhole := limit >= len("A: b\r\nC: d\r\n\r\n"); !slices.Equal(got, want) || whole != wantWhole {
			t.Errorf("limit %d: %q, whole %v, want %q, %v", limit, got, whole, want, wantWhole)
		}
	}
}

// TestHeaderAllocs walks over a header section in one segment.
func TestHeaderAllocs(t *testing.T) {
	c := codec.NewContent(nil)
	defer c.Release()
	_ = c.Append([]byte("From: a@example.com\r\nSubject: one\r\n two\r\nMessage-ID: <a@b>\r\n\r\ntext\r\n"))
	allocs := testing.AllocsPerRun(100, func() {
		h, n := Of(c, 1<<10), 0
		for f := (Field{}); h.Next(&f); {
			if f.Is("message-id") {
				n++
			}
		}
		if n != 1 {
			t.Fatal("the field was not found")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
