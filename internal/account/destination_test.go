package account

import (
	"reflect"
	"slices"
	"testing"
)

// TestEveryFieldIsAPart has each field of an account in the list once.
func TestEveryFieldIsAPart(t *testing.T) {
	listed := make(map[string]int)
	for _, p := range parts {
		listed[p.field]++
	}
	typ := reflect.TypeFor[Account]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.IsExported() && listed[f.Name] != 1 {
			t.Errorf("%s is %d times in the list of parts: does it decide where a secret or a token goes?", f.Name, listed[f.Name])
		}
		delete(listed, f.Name)
	}
	if len(listed) > 0 {
		t.Errorf("there are no fields %v", listed)
	}
}

// TestSecretsAreNoDetail has every field that is a Secret be a secret or a
// destination, but for the password that only clients send.
func TestSecretsAreNoDetail(t *testing.T) {
	typ := reflect.TypeFor[Account]()
	for _, p := range parts {
		f, ok := typ.FieldByName(p.field)
		if ok && f.Type == reflect.TypeFor[Secret]() && p.part == apart && p.field != "ClientPassword" {
			t.Errorf("%s is a Secret and has nothing to do with secrets", p.field)
		}
	}
}

// TestRedirected changes each field in turn.
func TestRedirected(t *testing.T) {
	for _, p := range parts {
		a, b := &Account{TokenCommand: []string{"a"}}, &Account{TokenCommand: []string{"a"}}
		changeField(t, reflect.ValueOf(b).Elem().FieldByName(p.field))
		got := a.Redirected(b)
		if want := p.part == destination; slices.Contains(got, p.key) != want || len(got) > 1 {
			t.Errorf("%s differs: %q", p.field, got)
		}
	}
	if got := (&Account{Email: "a@example.com"}).Redirected(&Account{Email: "a@example.com"}); got != nil {
		t.Errorf("nothing differs: %q", got)
	}
}

// changeField gives a field another value than it has.
func changeField(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("other")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Slice:
		v.Set(reflect.ValueOf([]string{"other"}))
	case reflect.Struct:
		switch {
		case v.Type() == reflect.TypeFor[Secret]():
			v.Set(reflect.ValueOf(NewSecret("other")))
		case v.NumField() > 0 && v.Field(0).CanSet():
			changeField(t, v.Field(0))
		case v.CanSet():
			return // netip.Addr: nothing reads it here
		}
	default:
		t.Fatalf("a field of kind %v: teach the test", v.Kind())
	}
}
