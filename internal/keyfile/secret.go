package keyfile

import (
	"encoding/pem"
	"errors"
	"strings"
	"unicode"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/seal"
)

// resolve returns the secret that s stands for: itself, or what a reference
// names (package seal).
func (v *Value) resolve(s string) (string, bool) {
	if isElsewhere(s) {
		v.File.Passing = true
	}
	plain, err := seal.Resolve(s, v.File.Keys, seal.Field{Account: v.File.Account, Key: v.path})
	if v.File.Lenient && isOutOfReach(err) {
		v.File.Passing, v.File.Unresolved = true, true
		return s, true
	}
	if err != nil {
		v.Fail("%v", err)
	}
	return plain, err == nil
}

// isOutOfReach reports whether a secret could not be resolved since this process lacks what
// another one may have.
func isOutOfReach(err error) bool {
	return errors.Is(err, seal.ErrReference) || errors.Is(err, seal.ErrNoKey) || errors.Is(err, seal.ErrUnknownKey)
}

// IsUnresolved reports whether a secret that was read is what stands for it: see
// File.Lenient. Nothing can be said about it.
func (v *Value) IsUnresolved(secret string) bool {
	return v.File.Unresolved && seal.IsReference(secret)
}

// isElsewhere reports whether s is a reference to a secret.
func isElsewhere(s string) bool { return seal.IsReference(s) && !seal.IsSealed(s) }

// resolveTrimmed is resolve for secrets that never begin or end with blanks: editors and
// shells leave some around what is referred to. They are taken off; blanks other than line
// ends at the end are noted.
func (v *Value) resolveTrimmed(s string) (string, bool) {
	plain, ok := v.resolve(s)
	if !ok || !isElsewhere(s) {
		return plain, ok
	}
	trimmed := strings.TrimFunc(plain, IsBlank)
	if trimmed == "" {
		v.Fail("what is referred to has nothing but white space")
		return "", false
	}
	if trimmed != strings.TrimRight(plain, "\r\n") && v.Entry != nil {
		v.Entry.Status, v.Entry.Note = Warned, "white space, or characters that are not visible, are around what is referred to; they are left out"
	}
	return trimmed, true
}

// SecretText reads a secret of one line, or what stands for one.
func SecretText(v *Value) (string, bool) { return secretText(v, (*Value).resolveTrimmed) }

// PasswordText is SecretText for a secret that may begin or end with white space. A file
// loses its last line end only.
func PasswordText(v *Value) (string, bool) { return secretText(v, (*Value).resolve) }

func secretText(v *Value, resolve func(*Value, string) (string, bool)) (string, bool) {
	s, ok := Text(v)
	if !ok {
		return "", false
	}
	if s, ok = resolve(v, s); !ok {
		return "", false
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		v.Fail("what is referred to must be one line without control characters")
		return "", false
	}
	return s, true
}

// SecretLines reads a secret that may have several lines, such as a key in PEM
// form, or what stands for one.
func SecretLines(v *Value) (string, bool) {
	if v.Node.Value.Kind() != '"' {
		v.Fail("must be a string, not %s", v.kind())
		return "", false
	}
	s := strings.TrimSpace(unquote(v.Node.Value.(hujson.Literal)))
	if s == "" {
		return "", false
	}
	return v.resolveTrimmed(s)
}

// PEM reads PEM, or what stands for it.
func PEM(v *Value) (string, bool) {
	s, ok := SecretLines(v)
	if !ok {
		return "", false
	}
	switch block, _ := pem.Decode([]byte(s)); {
	case v.IsUnresolved(s):
	case block == nil:
		v.Fail("must be in PEM form, which begins with -----BEGIN and has line ends")
		return "", false
	case IsEncrypted(block):
		v.Fail("%v, or seal the value", ErrEncrypted)
		return "", false
	}
	return s, true
}

// ErrEncrypted says that a key needs a passphrase, and what to do.
var ErrEncrypted = errors.New("is an encrypted key, and there is no passphrase for it: decrypt it (openssl pkey -in KEY -out PLAIN), and keep the file to its owner")

// IsEncrypted reports whether a key needs a passphrase (RFC 5958, RFC 1421).
func IsEncrypted(block *pem.Block) bool {
	return block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}

// CheckedSecret reads a secret, or what stands for one, and applies check,
// whose error must not show it.
func CheckedSecret[V any](check func(string) (V, error)) Reader[V] {
	return checkedBy(SecretText, check)
}

// CheckedPassword is CheckedSecret for a PasswordText.
func CheckedPassword[V any](check func(string) (V, error)) Reader[V] {
	return checkedBy(PasswordText, check)
}

func checkedBy[V any](read Reader[string], check func(string) (V, error)) Reader[V] {
	return func(v *Value) (x V, ok bool) {
		s, ok := read(v)
		if !ok || v.IsUnresolved(s) {
			return x, false
		}
		x, err := check(s)
		if err != nil {
			v.Fail("%v", err)
		}
		return x, err == nil
	}
}

// List reads an array of strings, none of them empty.
func List(v *Value) (words []string, ok bool) {
	before := len(*v.File.Problems)
	v.EachElement(func(e *Value) {
		s, ok := Text(e)
		if !ok && len(*v.File.Problems) == before {
			e.Fail("must not be empty")
		}
		words = append(words, s)
	})
	return words, len(words) > 0 && len(*v.File.Problems) == before
}
