package config

import (
	"errors"
	"os"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/share/redisstore"
)

// shareKeys are the section share, which the predecessor did not have.
var shareKeys = []keyfile.Key[draft]{
	keyfile.Set("share.url", keyfile.Checked(redisstore.CheckURL), func(d *draft) *string { return &d.settings.Share.URL },
		`Redis 7.0 or Valkey by which several proxies share the limits of the same mailboxes: "rediss://host:port" (TLS), "redis://host:port" or "unix:///path"; default none: this proxy keeps the limits alone; docs/internals/share.md has what a user of the server needs`),
	keyfile.Set("share.ca_file", keyfile.Text, func(d *draft) *string { return &d.settings.Share.CAFile },
		"PEM file of certificate authorities that are trusted for a rediss:// URL instead of the system's; default none"),
	keyfile.Set("share.username", keyfile.Text, func(d *draft) *string { return &d.settings.Share.Username },
		"user of the server's access list; default none: its default user"),
	keyfile.Secret(keyfile.Set("share.password", keyfile.CheckedSecret(checkSharePassword), func(d *draft) *account.Secret { return &d.settings.Share.Password },
		`password of the user, best as a reference such as "file:/etc/xoauth2/redis-password"; default none`)),
	keyfile.Set("share.node", keyfile.Checked(checkShareNode), func(d *draft) *string { return &d.settings.Share.Node },
		"name of this proxy among the others; it stays the same over restarts; default: the name of the host"),
	{Path: "share.key", Set: (*draft).readShareKey,
		Doc: "where the key is that seals tokens in the store, the same on all proxies: file:/path, env:NAME or credential:NAME; default: secrets.key"},
}

// checkSharePassword accepts any secret.
func checkSharePassword(s string) (account.Secret, error) { return account.NewSecret(s), nil }

// maxShareNode bounds the name of a node, in octets.
const maxShareNode = 255

func checkShareNode(s string) (string, error) {
	if len(s) > maxShareNode || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '|' || r == 0x7f }) {
		return "", errors.New(`must be a name such as "mx1.example.com", without blanks and "|"`)
	}
	return s, nil
}

// readShareKey reads the key of the tokens in the store.
func (d *draft) readShareKey(v *keyfile.Value) {
	ring, ok := keyfile.Checked(func(ref string) (*seal.Keyring, error) {
		if warning := seal.Exposed(ref); warning != "" {
			v.Entry.Status, v.Entry.Note = keyfile.Warned, warning
		}
		ring, err := seal.LoadKeyring(ref)
		if v.File.Lenient && errors.Is(err, seal.ErrReference) {
			return nil, nil
		}
		return ring, err
	})(v)
	if ok {
		d.settings.Share.Key = ring
	}
}

// resolveShare settles the defaults of the section.
func (d *draft) resolveShare() {
	s := &d.settings.Share
	if s.URL == "" {
		return
	}
	if s.Node == "" {
		s.Node, _ = os.Hostname() // without one, check says so
	}
	if s.Key == nil {
		s.Key = d.settings.Secrets.Key
	}
}

// checkShare adds what is wrong with the keys of the section together.
func (d *draft) checkShare(lenient bool, bad func(string, ...any)) {
	s := &d.settings.Share
	switch {
	case s.URL == "" && s.Config != (redisstore.Config{}):
		bad("share.url is needed for it", &s.CAFile, &s.Username, &s.Password)
	case s.URL == "":
	case s.CAFile != "" && !strings.HasPrefix(s.URL, "rediss:"):
		bad("is for a share.url that begins with rediss://", &s.CAFile)
	case s.Username != "" && s.Password.IsZero():
		bad("share.password is needed for it", &s.Username)
	case s.Node == "":
		bad("this host has no name: share.node is needed", &s.URL)
	case !lenient && !s.Key.CanSeal():
		bad("share.key is needed, the same on all proxies, to seal tokens in the store", &s.URL)
	}
}
