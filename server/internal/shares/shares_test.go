package shares

import (
	"runtime"
	"strconv"
	"testing"

	"xoauth2-proxy/codec"
)

// TestSharesLiveAsLongAsUsed: an account has one share while a session or a content has
// it, and takes no memory afterwards.
func TestSharesLiveAsLongAsUsed(t *testing.T) {
	s := New(codec.NewBudget(1<<20), 1000)
	anna := s.Of("anna")
	if s.Of("anna") != anna || s.Of("bert") == anna {
		t.Error("a share is not its account's own")
	}
	content := codec.NewContent(s.Of("carl"))
	if err := content.Append(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		s.Of(strconv.Itoa(i))
	}
	for range 100 {
		runtime.GC()
		if s.Len() <= 2 {
			break
		}
		runtime.Gosched()
	}
	if n := s.Len(); n != 2 { // bert's is gone too
		t.Errorf("%d accounts have a share, want 2", n)
	}
	if s.Of("carl").TryReserve(1 << 19) { // more than half: above its share, since the content counts
		t.Error("the share of an account with content was forgotten")
	}
	if s.Of("anna") != anna {
		t.Error("the share of a session was forgotten")
	}
	content.Release()
	runtime.KeepAlive(anna)
}
