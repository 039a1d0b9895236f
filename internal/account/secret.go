package account

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every way of printing a Secret gives.
const redacted = "<secret>"

// Secret is a value that must never be printed: a client secret or a refresh
// token. Formatting, logging and marshalling it all give "<secret>"; the only
// way to the value is Reveal. Two secrets are equal (==) when their values are.
// The zero value is no secret.
type Secret struct{ v string }

// NewSecret wraps v.
func NewSecret(v string) Secret { return Secret{v} }

// Reveal returns the value itself, for the one place that sends it.
func (s Secret) Reveal() string { return s.v }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.v == "" }

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

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
