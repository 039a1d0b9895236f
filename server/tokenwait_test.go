package server

import (
	"errors"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
)

// hangingTokens never has a token, and answers when the test says so.
type hangingTokens struct{ asked []func(error) }

func (h *hangingTokens) Ready(*account.Account) bool                { return false }
func (h *hangingTokens) Fetch(_ *account.Account, done func(error)) { h.asked = append(h.asked, done) }

// TestLoginWithoutATokenIsAnswered: a login whose token does not come, as when the disk of
// the token store hangs, is told to come back. What comes late is no answer to another login.
func TestLoginWithoutATokenIsAnswered(t *testing.T) {
	f := newFeeder(t, nil)
	tokens := new(hangingTokens)
	f.s.srv.tokens = tokens
	f.feed("EHLO client.example.com\r\n")
	login := "AUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n"
	f.replies()
	f.feed(login)
	f.loop.Advance(tokenTimeout / 2)
	f.loop.RunPosted()
	if got := f.replies(); got != "" {
		t.Fatalf("before its time: %q", got)
	}
	f.loop.Advance(tokenTimeout)
	if got := f.replies(); !strings.HasPrefix(got, "454 4.7.0 ") {
		t.Fatalf("after its time: %q", got)
	}
	f.feed(login)
	tokens.asked[0](nil) // it is that of the first login
	f.loop.RunPosted()
	if got := f.replies(); got != "" || f.s.state != stateAwaitToken {
		t.Fatalf("the token of the first login answers the second one: %q", got)
	}
	tokens.asked[1](errors.New("no token"))
	f.loop.RunPosted()
	if got := f.replies(); !strings.HasPrefix(got, "454 4.7.0 ") {
		t.Fatalf("the second login: %q", got)
	}
	f.feed(login)
	tokens.asked[2](nil)
	f.loop.RunPosted()
	if got := f.replies(); !strings.HasPrefix(got, "235 ") {
		t.Fatalf("the third login: %q", got)
	}
	f.end(t)
}
