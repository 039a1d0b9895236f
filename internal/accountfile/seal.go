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

// bindSealed seals values anew that are sealed without their account and key, but for
// those of wrong entries. A value that the keys do not open stays: reading the file
// reports it. It returns whether there was one to seal.
func (l *List) bindSealed(keys *seal.Keyring, wrong map[*hujson.Object]bool) (bound bool) {
	for i := range l.array.Elements {
		object, ok := l.array.Elements[i].Value.(*hujson.Object)
		if !ok || wrong[object] || !keys.CanSeal() {
			continue
		}
		bound = bindMembers(object, keys) || bound
		l.rest()
	}
	return bound
}

// bindMembers is bindSealed for one account.
func bindMembers(object *hujson.Object, keys *seal.Keyring) (bound bool) {
	unbound := []byte(`"sealed:v1:`)
	for m := range object.Members {
		v, name := &object.Members[m].Value, keyfile.MemberName(object, m)
		lit, ok := v.Value.(hujson.Literal)
		if !ok || !bytes.HasPrefix(lit, unbound) || !slices.Contains(SealedKeys, name) {
			continue
		}
		field := seal.Field{Account: emailOf(object), Key: name}
		plain, err := keys.OpenField(lit.String(), field)
		if err != nil {
			continue
		}
		if sealed, err := keys.SealField(plain, field); err == nil {
			v.Value, bound = hujson.String(sealed), true
		}
	}
	return bound
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
