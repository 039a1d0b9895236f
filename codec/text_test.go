package codec_test

import (
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

// toCRLF is the reference of Normaliser.
var toCRLF = strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n")

// normalisePieces normalises the pieces one after the other.
func normalisePieces(t testing.TB, limit int64, pieces ...string) (string, error) {
	t.Helper()
	c := codec.NewContent(nil)
	defer c.Release()
	n := codec.Normaliser{Limit: limit}
	for _, p := range pieces {
		if err := n.Append([]byte(p), c); err != nil {
			return "", err
		}
	}
	if err := n.End(c); err != nil {
		return "", err
	}
	if err := c.CheckText(); err != nil {
		t.Fatalf("pieces %q: %v", pieces, err)
	}
	return contentString(t, c), nil
}

func TestNormaliser(t *testing.T) {
	for _, in := range []string{
		"", "text", "text\r\n", "\r", "\n", "\r\n", "\n\r", "\r\r\n", "\r\n\n", "a\nb\rc\r\nd", "\n\n\n", "\r\r\r", "a\r", "a\n",
		".\n.\r.\r\n", "a\x00\r\x00\nb", "\r\n.\r\n", strings.Repeat("0123456789\n", 2000) + "\r",
	} {
		want := toCRLF.Replace(in)
		step := 1 + len(in)/100
		for cut := 0; cut <= len(in); cut += step {
			if got, err := normalisePieces(t, 0, in[:cut], in[cut:]); got != want || err != nil {
				t.Fatalf("%.40q cut at %d: %.80q, %v, want %.80q", in, cut, got, err, want)
			}
		}
		if got, err := normalisePieces(t, 0, strings.Split(in, "")...); got != want || err != nil {
			t.Errorf("%.40q in octets: %.80q, %v", in, got, err)
		}
		for limit := 1; limit < len(want) && limit < 50; limit++ {
			if _, err := normalisePieces(t, int64(limit), in); err != codec.ErrTooBig {
				t.Errorf("%.40q with the limit %d: %v, want ErrTooBig", in, limit, err)
			}
		}
		if got, err := normalisePieces(t, int64(len(want)), in); got != want || err != nil {
			t.Errorf("%.40q with its size as limit: %.80q, %v", in, got, err)
		}
	}
}
