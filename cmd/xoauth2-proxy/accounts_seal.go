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
	NewKey string `help:"Make a new key in this file, which must not exist yet, and seal with it." placeholder:"FILE" xor:"key"`
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
	settings, keys, err := c.prepare()
	if err != nil {
		if made { // nothing is sealed with it
			err = errors.Join(err, os.Remove(c.NewKey))
		}
		return err
	}
	settings.Secrets.Key = keys // for the check of the result
	var sealed, current, references int
	_, err = edit(settings, accountfile.EditOptions{DryRun: c.DryRun}, func(l *accountfile.List) error {
		return l.ReplaceStrings(accountfile.SealedKeys, func(email, key, value string) (string, error) {
			field := seal.Field{Account: email, Key: key}
			switch {
			case keys.Current(value) && !seal.IsUnbound(value):
				current++
				return value, nil
			case seal.IsSealed(value): // with an older key, or for no field
				plain, err := keys.OpenField(value, field)
				if err != nil {
					return "", fmt.Errorf("%s: %s: %w", email, key, err)
				}
				value = plain
			case seal.IsReference(value):
				references++
				return value, nil
			}
			sealed++
			return keys.SealField(value, field)
		})
	})
	if err != nil && made { // sealed values may be in the file or in its pending copy
		err = fmt.Errorf("%w\nThe new key stays in %s; go on with --key file:PATH", err, c.NewKey)
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s%d secrets sealed with key %s, %d were sealed with it already, %d are references\n",
		dryRunPrefix(c.DryRun), sealed, keys.ID(), current, references)
	return nil
}

// prepare finds the keys, and errors that would prevent sealing.
func (c *accountsSealCmd) prepare() (*config.Settings, *seal.Keyring, error) {
	settings, err := c.settings()
	if err != nil {
		return nil, nil, err
	}
	keys, err := c.keyring(settings)
	if err != nil {
		return nil, nil, err
	}
	if c.NewKey != "" {
		_, err = edit(settings, accountfile.EditOptions{DryRun: true, Rehearse: !c.DryRun}, func(*accountfile.List) error { return nil })
	}
	return settings, keys, err
}

// keyring returns the keys.
func (c *accountsSealCmd) keyring(settings *config.Settings) (*seal.Keyring, error) {
	switch {
	case c.NewKey != "" && c.DryRun:
		return seal.ParseKeyring(seal.GenerateKey())
	case c.NewKey != "":
		path, err := filepath.Abs(c.NewKey)
		if err != nil {
			return nil, err
		}
		return seal.LoadKeyring("file:" + path)
	case c.Key != "":
		return seal.LoadKeyring(c.Key)
	case settings.Secrets.Key.CanSeal():
		return settings.Secrets.Key, nil
	}
	return nil, exitError{exitUsage, errors.New("say which key, with secrets.key in config.json, --key or XOAUTH2_SEAL_KEY, or have one made with --new-key")}
}
