package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	keyPrefix = "sealkey:v1:"
	// idSize is the length of a key's name in octets.
	idSize = 8
	// idDomain keeps the hash that names a key apart from any other use of it.
	idDomain = "xoauth2-proxy seal key id v1\x00"
)

// ErrKey says that a text is not a key.
var ErrKey = errors.New(`not a key: it must be "` + keyPrefix + `" and 32 octets in base64url, one key a line`)

// key is one key of a keyring.
type key struct {
	id   string
	aead cipher.AEAD
}

// GenerateKey returns a new key in text form.
func GenerateKey() string {
	secret := make([]byte, chacha20poly1305.KeySize)
	rand.Read(secret) // never fails
	return keyPrefix + base64.RawURLEncoding.EncodeToString(secret)
}

// parseKey reads a key in text form.
func parseKey(text string) (key, error) {
	encoded, ok := strings.CutPrefix(text, keyPrefix)
	if !ok {
		return key{}, ErrKey
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(secret) != chacha20poly1305.KeySize {
		return key{}, ErrKey // the decoder's error would quote the key
	}
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return key{}, ErrKey
	}
	sum := sha256.Sum256(append([]byte(idDomain), secret...))
	return key{id: hex.EncodeToString(sum[:idSize]), aead: aead}, nil
}

// Keyring holds keys. The zero value and nil have none and open nothing. It is
// immutable and safe for concurrent use.
type Keyring struct {
	keys []key
}

// ParseKeyring reads keys, one a line. The first key seals. Empty lines and those that
// begin with # are ignored.
func ParseKeyring(text string) (*Keyring, error) {
	kr := new(Keyring)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", len(kr.keys)+1, err)
		}
		if kr.find(k.id) != nil {
			return nil, fmt.Errorf("key %d is there twice", len(kr.keys)+1)
		}
		kr.keys = append(kr.keys, k)
	}
	if len(kr.keys) == 0 {
		return nil, fmt.Errorf("no key: %w", ErrKey)
	}
	return kr, nil
}

// LoadKeyring reads the keys that ref names: "file:/path", "env:NAME" or
// "credential:NAME". A key file that every user can read is read: see Exposed.
func LoadKeyring(ref string) (*Keyring, error) {
	text, err := KeyText(ref)
	if err != nil {
		return nil, err
	}
	kr, err := ParseKeyring(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return kr, nil
}

// Exposed returns a warning if ref names a file that every user of this host can read, as
// the secrets of containers often are; else "".
func Exposed(ref string) string {
	kind, name, ok := splitReference(ref)
	if !ok || kind != kindFile {
		return ""
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm()&0o007 == 0 {
		return ""
	}
	return fmt.Sprintf("every user can read the file (mode %04o); chmod 600 is right, unless it is mounted so into a container", info.Mode().Perm())
}

// KeyText returns the text of the keys that ref names; see LoadKeyring. It is secret.
func KeyText(ref string) (string, error) {
	kind, name, ok := splitReference(ref)
	if !ok {
		return "", fmt.Errorf("the key must be given as file:/path, env:NAME or credential:NAME")
	}
	return read(kind, name)
}

// CanSeal reports whether there is a key.
func (kr *Keyring) CanSeal() bool { return kr != nil && len(kr.keys) > 0 }

// ID names the key that seals, "" when there is none.
func (kr *Keyring) ID() string {
	if !kr.CanSeal() {
		return ""
	}
	return kr.keys[0].id
}

// OldIDs names the keys that only open.
func (kr *Keyring) OldIDs() (ids []string) {
	if kr.CanSeal() {
		for _, k := range kr.keys[1:] {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// WithNewKey returns the text of a key file with a new key in front of its keys.
func WithNewKey(text string) string { return GenerateKey() + "\n" + text }

// WithoutOldKeys returns the text of a key file without the keys that only open.
func WithoutOldKeys(text string) string {
	var kept strings.Builder
	first := true
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), keyPrefix) {
			if !first {
				continue
			}
			first = false
		}
		kept.WriteString(line)
	}
	return kept.String()
}

// FileOf returns the path in a reference to a file, and "" for any other value.
func FileOf(ref string) (path string) {
	if kind, path, _ := splitReference(ref); kind == kindFile {
		return path
	}
	return ""
}

func (kr *Keyring) find(id string) *key {
	if kr == nil {
		return nil
	}
	for i := range kr.keys {
		if kr.keys[i].id == id {
			return &kr.keys[i]
		}
	}
	return nil
}

// String shows the names of the keys only.
func (kr *Keyring) String() string {
	if kr == nil {
		return "no keys"
	}
	ids := make([]string, len(kr.keys))
	for i, k := range kr.keys {
		ids[i] = k.id
	}
	return "keys " + strings.Join(ids, ", ")
}

// Format implements fmt.Formatter, so that no verb reaches the keys.
func (kr *Keyring) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte(kr.String())) // the state collects in memory
}
