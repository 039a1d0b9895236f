package config

import (
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"unicode"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
)

// resolve returns the secret that s stands for: itself, or what a reference
// names (package seal).
func (v *value) resolve(s string) (string, bool) {
	if seal.IsReference(s) && !seal.IsSealed(s) {
		v.f.passing = true
	}
	plain, err := seal.Resolve(s, v.f.keys, seal.Field{Account: v.f.account, Key: v.path})
	if err != nil {
		v.fail("%v", err)
	}
	return plain, err == nil
}

// secretText reads a secret of one line, or what stands for one.
func secretText(v *value) (string, bool) {
	s, ok := text(v)
	if !ok {
		return "", false
	}
	if s, ok = v.resolve(s); !ok {
		return "", false
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		v.fail("what is referred to must be one line without control characters")
		return "", false
	}
	return s, true
}

// secretLines reads a secret that may have several lines, such as a key in PEM
// form, or what stands for one.
func secretLines(v *value) (string, bool) {
	if v.node.Value.Kind() != '"' {
		v.fail("must be a string, not %s", v.kind())
		return "", false
	}
	s := strings.TrimSpace(unquote(v.node.Value.(hujson.Literal)))
	if s == "" {
		return "", false
	}
	return v.resolve(s)
}

// pemText reads PEM, or what stands for it.
func pemText(v *value) (string, bool) {
	s, ok := secretLines(v)
	if !ok {
		return "", false
	}
	if block, _ := pem.Decode([]byte(s)); block == nil {
		v.fail("must be in PEM form, which begins with -----BEGIN and has line ends")
		return "", false
	}
	return s, true
}

// checkedSecret reads a secret, or what stands for one, and applies check,
// whose error must not show it.
func checkedSecret[V any](check func(string) (V, error)) reader[V] {
	return func(v *value) (x V, ok bool) {
		s, ok := secretText(v)
		if !ok {
			return x, false
		}
		x, err := check(s)
		if err != nil {
			v.fail("%v", err)
		}
		return x, err == nil
	}
}

// checkProxyURL accepts the URL of an HTTP proxy.
func checkProxyURL(s string) (account.Secret, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return account.Secret{}, errors.New(`must be "http://host:port" or "https://host:port"`)
	}
	return account.NewSecret(s), nil
}

// list reads an array of strings, none of them empty.
func list(v *value) (words []string, ok bool) {
	before := len(*v.f.problems)
	v.eachElement(func(e *value) {
		s, ok := text(e)
		if !ok && len(*v.f.problems) == before {
			e.fail("must not be empty")
		}
		words = append(words, s)
	})
	return words, len(words) > 0 && len(*v.f.problems) == before
}
