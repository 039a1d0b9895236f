package accountfile

import (
	"bytes"
	"slices"
	"strings"
	"unicode"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/seal"
)

// SealedKeys are the keys of an account that are sealed if there is a key to
// seal with.
var SealedKeys = []string{"client_secret", "refresh_token", "client_private_key", "service_account_key", "oauth_proxy", "client_password"}

// Seal seals the secrets that stand in e in clear, each for its account and key.
// References and sealed values stay as they are. Without keys, Seal does nothing.
func (e *Entry) Seal(keys *seal.Keyring) error {
	if !keys.CanSeal() {
		return nil
	}
	for _, key := range SealedKeys {
		value := e.Get(key)
		if value == "" || seal.IsReference(value) {
			continue
		}
		sealed, err := keys.SealField(value, seal.Field{Account: e.Email(), Key: key})
		if err != nil {
			return err
		}
		e.Set(key, sealed)
	}
	return nil
}

// bindSealed seals values anew that are sealed without their account and key. A value
// that the keys do not open stays: reading the file reports it.
func (l *List) bindSealed(keys *seal.Keyring) {
	unbound := []byte(`"sealed:v1:`)
	for i := range l.array.Elements {
		object, ok := l.array.Elements[i].Value.(*hujson.Object)
		if !ok || !keys.CanSeal() {
			continue
		}
		for m := range object.Members {
			v := &object.Members[m].Value
			lit, ok := v.Value.(hujson.Literal)
			if !ok || !bytes.HasPrefix(lit, unbound) || !slices.Contains(SealedKeys, keyfile.MemberName(object, m)) {
				continue
			}
			field := seal.Field{Account: emailOf(object), Key: keyfile.MemberName(object, m)}
			plain, err := keys.OpenField(lit.String(), field)
			if err != nil {
				continue
			}
			if sealed, err := keys.SealField(plain, field); err == nil {
				v.Value = hujson.String(sealed)
			}
		}
		l.rest()
	}
}

// notSent are the keys that are declared as secrets and that the proxy does not send
// as secrets: it checks clients with the first, and the second is public.
var notSent = []string{"client_password", "client_certificate"}

// sentSecrets returns the keys of an account whose secrets the proxy sends to others
// or turns into tokens.
func sentSecrets() (keys []string) {
	for _, k := range accountTable.Keys {
		if k.Secret && k.Set != nil && !slices.Contains(notSent, k.Path) {
			keys = append(keys, k.Path)
		}
	}
	return keys
}

// References returns the keys of e whose values stand for a secret that is
// elsewhere, or are sealed.
func (e *Entry) References() (keys []string) {
	for _, key := range e.keys {
		invisible := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }
		if seal.IsReference(strings.TrimLeftFunc(e.Get(key), invisible)) {
			keys = append(keys, key)
		}
	}
	return keys
}
