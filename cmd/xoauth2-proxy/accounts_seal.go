package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/seal"
)

// accountsSealCmd encrypts secrets in place.
type accountsSealCmd struct {
	files
	Key    string `help:"The key, as file:/path, env:NAME or credential:NAME; several lines are keys that only open, after the one that seals. Default: secrets.key of config.json." env:"XOAUTH2_SEAL_KEY" placeholder:"REF"`
	NewKey string `help:"Make a new key in this file, which must not exist yet, and seal with it. The keys so far (--key, else secrets.key) follow it in the file and open what they sealed." placeholder:"FILE"`
	DryRun bool   `help:"Only say what would happen."`
}

// Run implements the command.
func (c *accountsSealCmd) Run() error {
	made := c.NewKey != "" && !c.DryRun
	if made { // before config.json is read, which may name it already
		if err := durable.Create(c.NewKey, []byte(seal.GenerateKey()+"\n")); err != nil {
			return fmt.Errorf("--new-key: %w", err)
		}
	}
	settings, err := c.prepare()
	if err != nil {
		if made { // nothing is sealed with it
			err = errors.Join(err, os.Remove(c.NewKey))
		}
		return err
	}
	done, err := sealAccounts(settings, c.DryRun)
	if err != nil && made { // sealed values may be in the file or in its pending copy
		err = fmt.Errorf("%w\nThe new key stays in %s; go on with --key file:PATH", err, c.NewKey)
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s%v\n", dryRunPrefix(c.DryRun), done)
	if made && settings.Secrets.Ref != "" && settings.Secrets.Ref != "file:"+c.NewKey {
		fmt.Printf("config.json names another key: set secrets.key to \"file:%s\", which has the old keys too, and restart the proxy; then rotate-key drops the old ones\n", c.NewKey)
	}
	return nil
}

// sealed counts the secrets of an accounts file.
type sealed struct {
	key                       string // its name
	anew, current, references int
}

func (n sealed) String() string {
	return fmt.Sprintf("%d secrets sealed with key %s, %d were sealed with it already, %d are references", n.anew, n.key, n.current, n.references)
}

// sealAccounts seals the secrets of the accounts file with the first of the keys in
// settings.
func sealAccounts(settings *config.Settings, dryRun bool) (sealed, error) {
	keys := settings.Secrets.Key
	n := sealed{key: keys.ID()}
	_, err := edit(settings, accountfile.EditOptions{DryRun: dryRun}, func(l *accountfile.List) error {
		return l.ReplaceStrings(accountfile.SealedKeys, func(email, key, value string) (string, error) {
			field := seal.Field{Account: email, Key: key}
			switch {
			case keys.Current(value) && !seal.IsUnbound(value):
				n.current++
				return value, nil
			case seal.IsSealed(value): // with an older key, or for no field
				plain, err := keys.OpenField(value, field)
				if err != nil {
					return "", fmt.Errorf("%s: %s: %w", email, key, err)
				}
				value = plain
			case seal.IsReference(value):
				n.references++
				return value, nil
			}
			n.anew++
			return keys.SealField(value, field)
		})
	})
	return n, err
}

// prepare returns settings with the keys to seal with, and finds errors that would
// prevent sealing.
func (c *accountsSealCmd) prepare() (*config.Settings, error) {
	settings, err := c.settings()
	if err != nil {
		return nil, err
	}
	if settings.Secrets.Key, err = c.keyring(settings); err != nil {
		return nil, err
	}
	if c.NewKey != "" {
		_, err = edit(settings, accountfile.EditOptions{DryRun: true, Rehearse: !c.DryRun}, func(*accountfile.List) error { return nil })
	}
	return settings, err
}

// keyring returns the keys, a new one with the older ones after it.
func (c *accountsSealCmd) keyring(settings *config.Settings) (*seal.Keyring, error) {
	given := c.Key
	if given == "" {
		given = settings.Secrets.Ref
	}
	if c.NewKey == "" {
		if given == "" {
			return nil, exitError{exitUsage, errors.New("say which key, with secrets.key in config.json, --key or XOAUTH2_SEAL_KEY, or have one made with --new-key")}
		}
		return seal.LoadKeyring(given)
	}
	old := ""
	if path, err := filepath.Abs(c.NewKey); err != nil {
		return nil, err
	} else if c.NewKey = path; given != "" && given != "file:"+path {
		if old, err = seal.KeyText(given); err != nil {
			return nil, err
		}
	}
	if c.DryRun {
		return seal.ParseKeyring(seal.WithNewKey(old))
	}
	made, err := seal.KeyText("file:" + c.NewKey)
	if err != nil {
		return nil, err
	}
	if old != "" {
		err = durable.Replace(c.NewKey, []byte(made+"\n"+old+"\n"), nil)
	}
	if err != nil {
		return nil, err
	}
	return seal.LoadKeyring("file:" + c.NewKey)
}
