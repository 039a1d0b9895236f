package flow

import (
	"errors"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/httpc"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// TestNoIPv6 has a token endpoint, or a proxy before it, with an IPv6 address to which this
// host has no way: the error says so, and what to do. The address is a multicast one, for
// which the system answers as it does for every address where there is no IPv6.
func TestNoIPv6(t *testing.T) {
	const there = "[ff0e::1]:443"
	for name, change := range map[string]func(*account.Account){
		"endpoint": func(a *account.Account) { a.TokenURL = "https://" + there + "/token" },
		"proxy": func(a *account.Account) {
			a.TokenURL, a.TokenProxy = "https://login.example.com/token", account.NewSecret("http://"+there)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := tokentest.AccountLike(tokentest.Account("https://127.0.0.1:1"), change)
			_, err := fetch(t, testFlows(t), a, time.Minute)
			e, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(e.Err, httpc.ErrNoIPv6) || e.Class != ClassUnavailable ||
				!strings.Contains(e.Public(), "give this host IPv6") || !strings.Contains(e.Error(), "this host has no way to it") {
				t.Errorf("%v", err)
			}
		})
	}
}
