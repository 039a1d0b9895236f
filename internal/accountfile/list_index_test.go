package accountfile

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile/internal/jsonedit"
)

// TestListIndex changes a list at random, names that stand twice included, and
// compares what is found by the index with what a look at each account finds.
func TestListIndex(t *testing.T) {
	look := func(l *List, name string) (byID *hujson.Object) {
		for i := range l.array.Elements {
			object, _ := asObject(&l.array.Elements[i])
			if account.FoldLogin(jsonedit.StringMember(object, "email")) == account.FoldLogin(name) {
				return object
			}
			if byID == nil && jsonedit.StringMember(object, "account_id") == name {
				byID = object
			}
		}
		return byID
	}
	name := func() string { return fmt.Sprintf("n%d@example.com", rand.N(12)) }
	for range 50 {
		l, err := newList("accounts.json", inMemory([]byte(`[{"email": "n1@example.com"}, {"email": "N1@example.com", "account_id": "n2@example.com"}, {}]`)), nil)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 100 {
			e := new(Entry)
			e.Set("email", name())
			if rand.N(2) == 0 {
				e.Set("account_id", name())
			}
			switch rand.N(5) {
			case 0:
				_ = l.Add(e) // or it is there
			case 1, 2:
				l.Put(e)
			case 3:
				_ = l.Remove(name()) // or it is not there
			case 4:
				if step%20 == 0 {
					l.Clear()
				}
			}
			for i := range 12 {
				n := fmt.Sprintf("N%d@example.com", i)
				if i%2 == 0 {
					n = fmt.Sprintf("n%d@example.com", i)
				}
				if got, want := l.find(n), look(l, n); got != want {
					t.Fatalf("%s: found %p, want %p in %s", n, got, want, l.pack())
				}
			}
		}
	}
}
