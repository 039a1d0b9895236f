package shares

import (
	"runtime"
	"strconv"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// TestSharesLiveAsLongAsUsed: an account has one share while a session or a content has
// it, and takes no memory afterwards.
func TestSharesLiveAsLongAsUsed(t *testing.T) {
	s := New(codec.NewBudget(1<<20), 1000)
	anna := s.of("anna")
	if s.of("anna") != anna || s.of("bert") == anna {
		t.Error("a share is not its account's own")
	}
	content := codec.NewContent(s.of("carl"))
	if err := content.Append(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		s.of(strconv.Itoa(i))
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
	if s.of("carl").TryReserve(1 << 19) { // more than half: above its share, since the content counts
		t.Error("the share of an account with content was forgotten")
	}
	if s.of("anna") != anna {
		t.Error("the share of a session was forgotten")
	}
	content.Release()
	runtime.KeepAlive(anna)
}

// TestMailboxesShare: the mailboxes of a catch-all account have one share.
func TestMailboxesShare(t *testing.T) {
	s := New(codec.NewBudget(1<<20), 1000)
	app := &account.Account{ID: "app", Email: "*@example.com", Flow: account.FlowClientCredentials}
	anna, bert, own := s.Of(app.ForMailbox("anna@example.com")), s.Of(app.ForMailbox("bert@example.com")), s.Of(&account.Account{ID: "own"})
	if anna != bert || anna == own {
		t.Error("the mailboxes have a share each, or one with another account")
	}
}
