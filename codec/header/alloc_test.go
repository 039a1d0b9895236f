//go:build !race && !bufdebug

package header

import (
	"testing"

	"xoauth2-proxy/codec"
)

// TestNoAllocations: the header section of most messages is read without any.
func TestNoAllocations(t *testing.T) {
	c := codec.NewContent(nil)
	defer c.Release()
	if err := c.Append([]byte("From: a@example.com\r\nMessage-ID:\r\n <1@example.com>\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, MaxMessageID)
	if n := testing.AllocsPerRun(100, func() { MessageID(dst, c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
