//go:build !race

package account

import "testing"

func TestByLoginDoesNotAllocate(t *testing.T) {
	s := mustSnapshot(t, &Account{ID: "a", Email: "user@example.com"}, &Account{ID: "b", Email: "jürgen@example.com"})
	for _, login := range []string{"USER@example.com", "nobody@example.com"} {
		key := []byte(login)
		if n := testing.AllocsPerRun(100, func() { s.ByLogin(key) }); n != 0 {
			t.Errorf("ByLogin(%q): %v allocations", login, n)
		}
	}
	st, a := NewStore(s), s.All()[0]
	if n := testing.AllocsPerRun(100, func() {
		st.Load()
		a.CredentialsFingerprint()
		a.ConnectionFingerprint()
	}); n != 0 {
		t.Errorf("Load and fingerprints: %v allocations", n)
	}
}
