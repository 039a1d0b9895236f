package keyfile

import (
	"encoding/pem"
	"strings"
	"unicode"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/seal"
)

// resolve returns the secret that s stands for: itself, or what a reference
// names (package seal).
func (v *Value) resolve(s string) (string, bool) {
	if seal.IsReference(s) && !seal.IsSealed(s) {
		v.File.Passing = true
	}
	plain, err := seal.Resolve(s, v.File.Keys, seal.Field{Account: v.File.Account, Key: v.path})
	if err != nil {
		v.Fail("%v", err)
	}
	return plain, err == nil
}

// SecretText reads a secret of one line, or what stands for one.
func SecretText(v *Value) (string, bool) {
	s, ok := Text(v)
	if !ok {
		return "", false
	}
	if s, ok = v.resolve(s); !ok {
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
	return v.resolve(s)
}

// PEM reads PEM, or what stands for it.
func PEM(v *Value) (string, bool) {
	s, ok := SecretLines(v)
	if !ok {
		return "", false
	}
	if block, _ := pem.Decode([]byte(s)); block == nil {
		v.Fail("must be in PEM form, which begins with -----BEGIN and has line ends")
		return "", false
	}
	return s, true
}

// CheckedSecret reads a secret, or what stands for one, and applies check,
// whose error must not show it.
func CheckedSecret[V any](check func(string) (V, error)) Reader[V] {
	return func(v *Value) (x V, ok bool) {
		s, ok := SecretText(v)
		if !ok {
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
