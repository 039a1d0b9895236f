package password

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrStored means a stored secret that cannot be used: empty, malformed, of an
// unknown scheme, or with costs above the limits. The error says which, and
// contains nothing of the secret.
var ErrStored = errors.New("password: unusable secret")

const (
	// plainPrefix marks a recoverable secret. It may be left out unless the
	// secret begins like a hash of some scheme.
	plainPrefix = "{PLAIN}"
	// maxPlain bounds a recoverable secret, in octets.
	maxPlain = 1024

	redacted = "<secret>"
)

// scheme is one way to store a secret.
type scheme interface {
	// verify computes the slow hash of password and compares in constant time.
	verify(password []byte) bool
	// memory is what verify needs, in octets, where that is worth counting.
	memory() int64
	// cost names the scheme and its parameters: two secrets of the same cost
	// take the same time to verify.
	cost() string
	// decoy is a secret of the same cost that no password satisfies.
	decoy() Secret
}

// Secret is a stored secret, to check passwords against. Printing, logging or marshalling
// it shows nothing of it. Secrets are immutable and cheap to copy; the zero value is no
// secret.
type Secret struct{ v *stored }

type stored struct {
	text string // as configured; part of the cache's key
	scheme
}

func newSecret(text string, s scheme) Secret { return Secret{&stored{text, s}} }

// Parse reads a secret in its stored form:
//
//	$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH   argon2id in PHC string format
//	$2b$12$...                                 bcrypt; also $2a$ and $2y$
//	{PLAIN}secret                              recoverable, fit for CRAM-MD5
//	secret                                     the same, if it begins with neither '$' nor '{'
//
// A string that looks like a hash of another scheme is refused instead of
// being taken for a recoverable secret. Error: ErrStored, with the reason.
func Parse(text string) (Secret, error) {
	var s scheme
	var err error
	switch {
	case strings.HasPrefix(text, argon2idPrefix):
		s, err = parseArgon2id(text)
	case isBcrypt(text):
		s, err = parseBcrypt(text)
	case strings.HasPrefix(text, plainPrefix):
		s, err = newPlain(text[len(plainPrefix):])
	case strings.HasPrefix(text, "$"), strings.HasPrefix(text, "{"):
		err = fmt.Errorf("%w: unknown scheme; use $argon2id$, $2b$ or %s", ErrStored, plainPrefix)
	default:
		s, err = newPlain(text)
	}
	if err != nil {
		return Secret{}, err
	}
	return newSecret(text, s), nil
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.v == nil }

// Recoverable reports whether the secret itself is known, as CRAM-MD5 needs.
func (s Secret) Recoverable() bool {
	if s.v == nil {
		return false
	}
	_, ok := s.v.scheme.(plain)
	return ok
}

// String implements [fmt.Stringer] and gives no secret away.
func (Secret) String() string { return redacted }

// GoString implements [fmt.GoStringer] for %#v.
func (Secret) GoString() string { return redacted }

// Format implements [fmt.Formatter], so that no verb reaches the fields.
func (Secret) Format(f fmt.State, _ rune) {
	// The state collects into memory; a failing one is its owner's to report.
	_, _ = io.WriteString(f, redacted)
}

// MarshalText implements [encoding.TextMarshaler], for JSON too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// plain is a recoverable secret. The checker compares it without a worker.
type plain []byte

func newPlain(secret string) (scheme, error) {
	if secret == "" || len(secret) > maxPlain {
		return nil, fmt.Errorf("%w: it has %d octets, want 1..%d", ErrStored, len(secret), maxPlain)
	}
	return plain(secret), nil
}

// verify compares digests, so that the time tells neither where the two differ nor their
// lengths.
func (p plain) verify(password []byte) bool {
	want, got := sha256.Sum256(p), sha256.Sum256(password)
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

func (plain) memory() int64 { return 0 }
func (plain) cost() string  { return plainPrefix }

func (plain) decoy() Secret {
	text := rand.Text()
	return newSecret(plainPrefix+text, plain(text))
}
