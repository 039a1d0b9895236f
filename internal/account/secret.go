package account

import (
	"fmt"
	"io"
	"unique"
)

// redacted is what every way of printing a Secret gives.
const redacted = "<secret>"

// Secret is a value that must never be printed: a client secret or a refresh
// token. Formatting, logging and marshalling it all give "<secret>"; the only
// way to the value is Reveal. Two secrets are equal (==) when their values are.
// The zero value is no secret.
//
// fmt does not always call Format: not for a value inside one that it cannot print with
// the given verb, such as an account behind a pointer with %s. So the value is behind a
// pointer that no verb follows.
type Secret struct{ v unique.Handle[string] }

// NewSecret wraps v.
func NewSecret(v string) Secret {
	if v == "" {
		return Secret{}
	}
	return Secret{unique.Make(v)}
}

// Reveal returns the value itself, for the one place that sends it.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.v.Value()
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s == Secret{} }

// String implements [fmt.Stringer] and gives no secret away.
func (Secret) String() string { return redacted }

// GoString implements [fmt.GoStringer] for %#v.
func (Secret) GoString() string { return redacted }

// Format implements [fmt.Formatter], so that no verb (%d, %x ...) reaches the
// field.
func (Secret) Format(f fmt.State, _ rune) {
	// The state collects into memory; a failing one is its owner's to report.
	_, _ = io.WriteString(f, redacted)
}

// MarshalText implements [encoding.TextMarshaler].
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements [encoding/json.Marshaler].
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
