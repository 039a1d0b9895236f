package seal

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The two sealed forms; doc.go says what each is for.
const (
	prefix1 = "sealed:v1:"
	prefix2 = "sealed:v2:"
)

// Errors of opening a sealed value.
var (
	// ErrNoKey: there is no key at all.
	ErrNoKey = errors.New("the value is sealed and no key is configured")
	// ErrUnknownKey: it was sealed with a key that is not in the keyring.
	ErrUnknownKey = errors.New("the value was sealed with another key")
	// ErrSealed: it is damaged, or stands where another value belongs.
	ErrSealed = errors.New("the sealed value is damaged or belongs elsewhere")
)

// IsSealed reports whether value is in sealed form, of any version.
func IsSealed(value string) bool { return strings.HasPrefix(value, "sealed:") }

// IsUnbound reports whether value is sealed in the form that does not say where
// it belongs by itself. In a file of accounts, OpenField opens such a value in
// any field of any account.
func IsUnbound(value string) bool { return strings.HasPrefix(value, prefix1) }

// Field is where a sealed secret belongs: the key of a file, and the account
// there. Account is the account's email; "" stands for a file without accounts.
// Spaces around the email and the case of its ASCII letters do not matter.
type Field struct{ Account, Key string }

// context is what a sealed value is bound to. The length keeps the two parts
// from running together.
func (f Field) context() string {
	email := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, strings.TrimSpace(f.Account))
	return fmt.Sprintf("field %d %s %s", len(email), email, f.Key)
}

// String names the field in errors.
func (f Field) String() string {
	if f.Account == "" {
		return printable(f.Key)
	}
	return printable(f.Key) + " of " + printable(f.Account)
}

// Seal encrypts plain with the first key, in the first form. context says where
// the value belongs: Open needs the same. It returns ErrNoKey if there is no key.
func (kr *Keyring) Seal(plain, context string) (string, error) {
	return kr.seal(prefix1, plain, context)
}

// SealField encrypts plain with the first key, for that field alone. It returns
// ErrNoKey if there is no key.
func (kr *Keyring) SealField(plain string, f Field) (string, error) {
	return kr.seal(prefix2, plain, f.context())
}

// Open decrypts a value that Seal made for the same context. The errors are
// ErrNoKey, ErrUnknownKey, which names the key, and ErrSealed.
func (kr *Keyring) Open(sealed, context string) (string, error) {
	return kr.open(prefix1, sealed, context)
}

// OpenField decrypts a value that SealField made for the same field, or that
// Seal made with an empty context. The errors are those of Open; ErrSealed names
// the field.
func (kr *Keyring) OpenField(sealed string, f Field) (string, error) {
	if IsUnbound(sealed) {
		return kr.Open(sealed, "")
	}
	plain, err := kr.open(prefix2, sealed, f.context())
	if errors.Is(err, ErrSealed) {
		err = fmt.Errorf("%w: it is not what was sealed as %v", ErrSealed, f)
	}
	return plain, err
}

var sealedText = regexp.MustCompile(`\bsealed:v[12]:([0-9a-f]{16}):`)

// KeysOf names the keys that values in a text are sealed with.
func KeysOf(text []byte) (ids []string) {
	for _, m := range sealedText.FindAllSubmatch(text, -1) {
		ids = append(ids, string(m[1]))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// seal encrypts plain in the form that begins with prefix.
func (kr *Keyring) seal(prefix, plain, context string) (string, error) {
	if !kr.CanSeal() {
		return "", ErrNoKey
	}
	k := &kr.keys[0]
	head := prefix + k.id + ":"
	data := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(plain)+k.aead.Overhead())
	rand.Read(data) // never fails
	data = k.aead.Seal(data, data, []byte(plain), associated(head, context))
	return head + base64.RawURLEncoding.EncodeToString(data), nil
}

// open decrypts a value in the form that begins with prefix.
func (kr *Keyring) open(prefix, sealed, context string) (string, error) {
	rest, ok := strings.CutPrefix(sealed, prefix)
	id, encoded, found := strings.Cut(rest, ":")
	if raw, err := hex.DecodeString(id); !ok || !found || err != nil || len(raw) != idSize {
		return "", ErrSealed
	}
	if !kr.CanSeal() {
		return "", fmt.Errorf("%w (key %s)", ErrNoKey, id)
	}
	k := kr.find(id)
	if k == nil {
		return "", fmt.Errorf("%w (key %s; there are: %s)", ErrUnknownKey, id, kr)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	n := k.aead.NonceSize()
	if err != nil || len(data) < n {
		return "", ErrSealed
	}
	plain, err := k.aead.Open(nil, data[:n], data[n:], associated(prefix+id+":", context))
	if err != nil {
		return "", ErrSealed
	}
	return string(plain), nil
}

// Current reports whether value was sealed, in either form, with the key that
// seals now.
func (kr *Keyring) Current(value string) bool {
	return kr.CanSeal() && (strings.HasPrefix(value, prefix1+kr.ID()+":") || strings.HasPrefix(value, prefix2+kr.ID()+":"))
}

// associated returns the associated data, which is authenticated with the plain text. head
// has a fixed length, so that the two parts cannot run together.
func associated(head, context string) []byte { return []byte(head + context) }
