package accountfile

import (
	"fmt"
	"strings"
	"testing"

	"xoauth2-proxy/internal/keyfile"
)

// manyAccounts is a file of 10,000 accounts as Microsoft makes their secrets; one
// in every changed has another scope than before.
func manyAccounts(changed, version int) []byte {
	var b strings.Builder
	b.WriteString("{\n  \"accounts\": [")
	for i := range 10_000 {
		scope := "default"
		if changed > 0 && i%changed == 0 {
			scope = fmt.Sprint("version", version)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `
    {
      "account_id": "outlook-%[1]d",
      "email": "user%[1]d@outlook.com",
      "provider": "outlook",
      "client_id": "11111111-2222-3333-4444-555555555555",
      "client_secret": "secret",
      "refresh_token": "M.C%05[1]d%[2]s",
      "oauth_endpoint": "smtp.office365.com:587",
      "oauth_token_url": "https://login.live.com/oauth20_token.srf",
      "scope": %[3]q
    }`, i, strings.Repeat("x", 400), scope)
	}
	b.WriteString("\n  ]\n}\n")
	return []byte(b.String())
}

// BenchmarkAccounts reads 10,000 accounts: for the first time, and again.
func BenchmarkAccounts(b *testing.B) {
	files := map[string][2][]byte{
		"nothing changed": {manyAccounts(0, 0), manyAccounts(0, 0)},
		"one changed":     {manyAccounts(10_000, 0), manyAccounts(10_000, 1)},
		"1000 changed":    {manyAccounts(10, 0), manyAccounts(10, 1)},
	}
	load := func(b *testing.B, c *Cache, text []byte) {
		var ps keyfile.Problems
		report := new(keyfile.Report)
		snapshot, _ := c.read(testBasis(), inMemory(text), &ps, report)
		report.Group()
		if snapshot == nil || len(ps) > 0 {
			b.Fatal(ps.Err())
		}
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			load(b, new(Cache), files["nothing changed"][0])
		}
	})
	for _, name := range []string{"nothing changed", "one changed", "1000 changed"} {
		b.Run("again, "+name, func(b *testing.B) {
			m := new(Cache)
			load(b, m, files[name][0])
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ {
				load(b, m, files[name][i%2])
			}
		})
	}
}
