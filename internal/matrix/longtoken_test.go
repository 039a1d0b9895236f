package matrix

import (
	"fmt"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
)

// TestLongTokens has access tokens of a service account and of Microsoft at
// providers with the line limits of their presets: every message is delivered,
// and no command line is too long.
func TestLongTokens(t *testing.T) {
	for _, preset := range []string{sandbox.PresetGmail, sandbox.PresetOutlook, sandbox.PresetPlain} {
		for _, length := range []int{220, 1024, 2048, 9000} {
			for _, m := range []account.Mechanism{account.MechanismXOAUTH2, account.MechanismOAUTHBEARER} {
				t.Run(fmt.Sprintf("%s %d %s", preset, length, m), func(t *testing.T) {
					t.Parallel()
					s := defaults(preset)
					s.sandbox.Tokens.Length = length
					s.sandbox.Endpoints[0].Keywords = []string{"SIZE 35882577", "8BITMIME", "AUTH XOAUTH2 OAUTHBEARER", "PIPELINING", "CHUNKING"}
					s.account = func(a *account.Account) { a.Mechanism = m }
					k := newStack(t, s)
					k.deliver(t, nil, victim, 1, style{bdat: true, pipelined: true}, false)
					k.deliver(t, nil, neighbour, 3, style{}, false)
					k.Settled(t)
					if n := k.sandbox.Stats().Violations[sandbox.ViolationLineLength]; n != 0 {
						t.Errorf("%d lines were too long for the provider", n)
					}
					for _, user := range []string{victim, neighbour} {
						if n := k.sandbox.AccountStats(user).TokenRequests; n != 1 {
							t.Errorf("%s: %d token requests", user, n)
						}
					}
					k.Stop()
				})
			}
		}
	}
}
