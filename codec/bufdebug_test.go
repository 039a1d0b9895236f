//go:build bufdebug

package codec_test

import (
	"testing"

	"xoauth2-proxy/codec"
)

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s does not panic", what)
		}
	}()
	f()
}

func TestSecondPutPanics(t *testing.T) {
	b := codec.GetBuffer()
	codec.PutBuffer(b)
	mustPanic(t, "a second PutBuffer", func() { codec.PutBuffer(b) })

	c := codec.NewContent(nil)
	if err := c.Append([]byte("x")); err != nil {
		t.Fatal(err)
	}
	c.Release()
	mustPanic(t, "a second Release", c.Release)
}

func TestPutPoisons(t *testing.T) {
	b := codec.GetBuffer()
	b.B = append(b.B, "secret"...)
	line := b.B
	codec.PutBuffer(b)

	c := codec.NewContent(nil)
	if err := c.Append([]byte("content")); err != nil {
		t.Fatal(err)
	}
	segment := c.Segment(0)
	c.Release()
	for _, b := range [][]byte{line, segment} {
		for _, octet := range b {
			if octet != 0xdb {
				t.Fatalf("%q is still there", b)
			}
		}
	}
}
