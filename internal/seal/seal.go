package seal

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const prefix = "sealed:v1:"

// What is wrong with a sealed value, or with the keys for it.
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

// Seal encrypts plain with the first key. context says where the value belongs:
// Open needs the same. It returns ErrNoKey if there is no key.
func (kr *Keyring) Seal(plain, context string) (string, error) {
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

// Open decrypts a value that Seal made for the same context. The errors are
// ErrNoKey, ErrUnknownKey, which names the key, and ErrSealed.
func (kr *Keyring) Open(sealed, context string) (string, error) {
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

// Current reports whether value was sealed with the key that seals now.
func (kr *Keyring) Current(value string) bool {
	return kr.CanSeal() && strings.HasPrefix(value, prefix+kr.ID()+":")
}

// associated is what is authenticated beside the plain text. head has a fixed
// length, so that the two cannot run together.
func associated(head, context string) []byte { return []byte(head + context) }
