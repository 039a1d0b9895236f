package oauth

import (
	"encoding/base64"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/tokentest"
)

func TestInitialResponses(t *testing.T) {
	ts := tokentest.NewServer(t)
	a := tokentest.AccountLike(tokentest.Account(ts.URL), func(a *account.Account) {
		a.AuthIdentity = "a=b,c@example.com"
		a.SMTP = account.Endpoint{Host: "smtp.example.com", Port: 587}
	})
	m := testManager(t, testConfig())
	tok := mustGet(t, m.Source(a))
	decode := func(b []byte) string {
		raw, err := base64.StdEncoding.DecodeString(string(b))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if got := decode(tok.InitialResponse(account.MechanismXOAUTH2)); got != "user=a=b,c@example.com\x01auth=Bearer access-1\x01\x01" {
		t.Errorf("XOAUTH2 %q", got)
	}
	const want = "n,a=a=3Db=2Cc@example.com,\x01host=smtp.example.com\x01port=587\x01auth=Bearer access-1\x01\x01"
	if got := decode(tok.InitialResponse(account.MechanismOAUTHBEARER)); got != want {
		t.Errorf("OAUTHBEARER %q, want %q", got, want)
	}
	if first, second := tok.OAUTHBEARER(), tok.OAUTHBEARER(); &first[0] != &second[0] {
		t.Error("OAUTHBEARER is built more than once")
	}
	moved := tokentest.AccountLike(a, func(a *account.Account) { a.SMTP.Host = "" })
	m.Retain(snapshot(t, moved))
	if got := decode(m.Source(moved).Cached().OAUTHBEARER()); strings.Contains(got, "host=") {
		t.Errorf("after a reload: %q", got)
	}
}
