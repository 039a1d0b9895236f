package account

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// other gives a field another value than it has.
func other(t *testing.T, f reflect.Value, name string) {
	switch x := f.Addr().Interface().(type) {
	case *Secret:
		*x = NewSecret("another")
		return
	case *time.Time:
		*x = x.Add(time.Second)
		return
	case *netip.Addr:
		*x = netip.MustParseAddr("192.0.2.1")
		return
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString("another")
	case reflect.Int, reflect.Int64:
		f.SetInt(f.Int() + 1)
	case reflect.Uint8:
		f.SetUint(f.Uint() + 1)
	case reflect.Float64:
		f.SetFloat(f.Float() + 1)
	case reflect.Bool:
		f.SetBool(!f.Bool())
	case reflect.Slice:
		f.Set(reflect.ValueOf([]string{"another"}))
	default:
		t.Fatalf("no other value for %s of type %v", name, f.Type())
	}
}

// eachField calls fn with every settable field, those of structures in it
// included, of a new account each time.
func eachField(t *testing.T, fn func(name string, a *Account)) {
	var walk func(typ reflect.Type, index []int, name string)
	walk = func(typ reflect.Type, index []int, name string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			at := append(append([]int(nil), index...), i)
			switch {
			case !f.IsExported():
			case f.Type.Kind() == reflect.Struct && f.Type.NumField() > 0 && f.Type.Field(0).IsExported():
				walk(f.Type, at, name+f.Name+".")
			default:
				a := &Account{ID: "a", Email: "a@example.com"}
				other(t, reflect.ValueOf(a).Elem().FieldByIndex(at), name+f.Name)
				fn(name+f.Name, a)
			}
		}
	}
	walk(reflect.TypeFor[Account](), nil, "")
}

func TestEqualLooksAtEveryField(t *testing.T) {
	plain := &Account{ID: "a", Email: "a@example.com"}
	if !plain.Equal(&Account{ID: "a", Email: "a@example.com"}) {
		t.Error("two equal accounts differ")
	}
	fields := 0
	eachField(t, func(name string, a *Account) {
		fields++
		if a.Equal(plain) || plain.Equal(a) {
			t.Errorf("a difference in %s is not seen", name)
		}
	})
	if fields < 40 {
		t.Errorf("only %d fields were looked at", fields)
	}
}

func reuseAccounts() []*Account {
	return []*Account{
		{ID: "a", Email: "a@example.com", RefreshToken: NewSecret("a")},
		{ID: "b", Email: "B@example.com", RefreshToken: NewSecret("b"), Limits: Limits{IdleTimeout: time.Minute}},
		{ID: "app", Email: "*@example.org", Flow: FlowClientCredentials, TokenCommand: []string{"x", "y"}},
	}
}

func TestReusing(t *testing.T) {
	old := mustSnapshot(t, reuseAccounts()...)
	mailbox, _ := old.ByLogin([]byte("m@example.org"))
	if got := mustSnapshot(t, reuseAccounts()...).Reusing(old); got != old {
		t.Error("equal accounts make another snapshot")
	}
	turned := reuseAccounts()
	turned[0], turned[1] = turned[1], turned[0]
	if got := mustSnapshot(t, turned...).Reusing(old); got == old || got.All()[0].ID != "b" {
		t.Error("the order of the accounts is lost")
	}

	list := append(reuseAccounts(), &Account{ID: "new", Email: "new@example.com"})
	list[1].RefreshToken = NewSecret("changed")
	s := mustSnapshot(t, list...).Reusing(old)
	for _, tt := range []struct {
		login, id string
		same      bool
	}{{"A@example.com", "a", true}, {"b@example.com", "b", false}, {"new@example.com", "new", false}} {
		a, ok := s.ByLogin([]byte(tt.login))
		byID, _ := s.ByID(tt.id)
		was, _ := old.ByID(tt.id)
		if !ok || a != byID || a.ID != tt.id || (a == was) != tt.same {
			t.Errorf("%s: %v, by its ID %v, before %v", tt.login, a, byID, was)
		}
		if tt.id == "b" && a.RefreshToken.Reveal() != "changed" {
			t.Error("the changed account is the old one")
		}
	}
	if s.All()[0] != old.All()[0] || s.All()[2] != old.All()[2] || s.Len() != 4 {
		t.Errorf("accounts %v", s.All())
	}
	again, ok := s.ByLogin([]byte("m@example.org"))
	if !ok || !again.Equal(mailbox) || again.Base() != mailbox.Base() {
		t.Error("the mailbox of a catch-all account is another one")
	}
	shorter := mustSnapshot(t, reuseAccounts()[:2]...).Reusing(old)
	if _, ok := shorter.ByID("app"); ok || shorter.Len() != 2 {
		t.Error("a removed account is there")
	}
}
