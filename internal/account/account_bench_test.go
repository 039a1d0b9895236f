package account

import (
	"fmt"
	"testing"
)

func BenchmarkByLogin(b *testing.B) {
	accounts := make([]*Account, 10000)
	for i := range accounts {
		accounts[i] = &Account{ID: fmt.Sprint(i), Email: fmt.Sprintf("user%d@example.com", i)}
	}
	s := mustSnapshot(b, accounts...)
	for _, bm := range []struct{ name, login string }{
		{"case=lower", "user5000@example.com"}, {"case=upper", "USER5000@EXAMPLE.COM"}, {"case=unknown", "nobody@example.com"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			login := []byte(bm.login)
			b.ReportAllocs()
			for b.Loop() {
				s.ByLogin(login)
			}
		})
	}
}
