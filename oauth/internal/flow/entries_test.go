package flow

import (
	"testing"

	"xoauth2-proxy/internal/hint"
)

// TestEntries: each class, each "error" and each number has an entry of the catalogue.
func TestEntries(t *testing.T) {
	for c := range NumClasses {
		if c.Hint() == hint.None || (&Error{Class: c}).Entry() != c.Hint() {
			t.Errorf("the class %v has no entry", c)
		}
	}
	for number, known := range numbers {
		if known.hint == hint.None && known.class != ClassUnavailable {
			t.Errorf("%s has no entry", number)
		}
	}
	for code, class := range errorClasses {
		if e := (&Error{Class: class}); hintOf(e, code, hint.None).Or(e.Entry()) == hint.None {
			t.Errorf("%s has no entry", code)
		}
	}
}
