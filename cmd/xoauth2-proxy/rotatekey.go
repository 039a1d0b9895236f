package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"

	"xoauth2-proxy/internal/adminclient"
	"xoauth2-proxy/internal/app"
	"xoauth2-proxy/internal/backup"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/seal"
)

// rotateKeyCmd replaces the key that seals secrets. Each step can be cut off: the
// next run goes on. Old keys are dropped last, when nothing needs them.
type rotateKeyCmd struct {
	files
	socketFlag
	KeepOld bool `help:"Leave the old keys in the key file; the next run removes them, and makes no new key."`
}

// Run implements the command.
func (c *rotateKeyCmd) Run() error {
	ctx := context.Background()
	settings, err := c.settings()
	if err != nil {
		return err
	}
	path, err := c.begin(settings)
	if err != nil {
		return err
	}
	if settings, err = c.settings(); err != nil { // with the new key
		return err
	}
	keys := settings.Secrets.Key
	running, err := c.adopted(ctx, settings)
	if err != nil {
		return err
	}
	if running != nil {
		defer running.Close()
	}
	done, err := sealAccounts(settings, false)
	if err != nil {
		return err
	}
	fmt.Printf("accounts:    %v\n", done)
	if err := sealStore(settings, running); err != nil {
		return err
	}
	if err := needsOldKey(settings, keys.OldIDs()); err != nil {
		return err
	}
	return c.finish(ctx, settings, path, running)
}

// begin makes a new key, unless a rotation has begun that is not finished: then the
// key file has several. It returns the path of the key file, "" if the key is elsewhere.
func (c *rotateKeyCmd) begin(s *config.Settings) (path string, err error) {
	keys := s.Secrets.Key
	if !keys.CanSeal() {
		return "", exitError{exitUsage, errors.New("there is no key to replace: secrets.key in config.json names none; accounts seal --new-key makes the first one")}
	}
	path = seal.FileOf(s.Secrets.Ref)
	unfinished := len(keys.OldIDs()) > 0
	switch {
	case unfinished:
		fmt.Printf("key:         %s is in front of %s: the rotation goes on\n", keys.ID(), strings.Join(keys.OldIDs(), ", "))
		return path, nil
	case path == "":
		return "", fmt.Errorf("secrets.key is %s, which this command cannot change: put a new key as first line in front of the old one there, "+
			"restart the proxy, and run this command again (accounts seal --new-key FILE makes a file with both)", s.Secrets.Ref)
	}
	if err := durable.Change(path, seal.WithNewKey); err != nil {
		return "", err
	}
	keys, err = seal.LoadKeyring(s.Secrets.Ref)
	if err != nil {
		return "", err
	}
	fmt.Printf("key:         %s is new, in front of %s in %s\n", keys.ID(), strings.Join(keys.OldIDs(), ", "), path)
	return path, nil
}

// adopted has a running proxy read the keys. It returns nil if none runs.
func (c *rotateKeyCmd) adopted(ctx context.Context, s *config.Settings) (*adminclient.Client, error) {
	running, err := c.findProxy(ctx, s)
	switch {
	case err != nil && c.mayBeAlone(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%w\nNothing is sealed with the new key yet: run this command again", err)
	}
	if err := askForReload(ctx, running); err != nil {
		running.Close()
		return nil, err
	}
	if running.Proxy.SealKey != s.Secrets.Key.ID() {
		running.Close()
		return nil, fmt.Errorf("the running proxy (pid %d) does not have key %s: restart it, then run this command again", running.Proxy.PID, s.Secrets.Key.ID())
	}
	fmt.Printf("proxy:       pid %d has read the keys\n", running.Proxy.PID)
	return running, nil
}

// askForReload has the running proxy read its files again, and tell which keys it has.
func askForReload(ctx context.Context, running *adminclient.Client) error {
	if err := running.Do(ctx, http.MethodPost, "/admin/reload", nil, nil); err != nil {
		return fmt.Errorf("the running proxy: %w", err)
	}
	if err := running.Do(ctx, http.MethodGet, "/admin/info", nil, &running.Proxy); err != nil {
		return fmt.Errorf("the running proxy: %w", err)
	}
	return nil
}

// sealStore has the token store sealed with the new key: the running proxy does so
// when it reads the key, else the store is opened.
func sealStore(s *config.Settings, running *adminclient.Client) error {
	switch {
	case s.OAuth.TokenStore == "":
		return nil
	case running == nil:
		kept, err := app.OpenTokenStore(s)
		if err == nil {
			err = kept.Close()
		}
		if err != nil {
			return fmt.Errorf("%w\nThe old keys stay: run this command again", err)
		}
	case running.Proxy.TokenStoreKey != s.Secrets.Key.ID():
		return fmt.Errorf("the token store is not sealed with key %s yet, the log of the running proxy (pid %d) says why: the old keys stay, run this command again",
			s.Secrets.Key.ID(), running.Proxy.PID)
	}
	fmt.Printf("token store: sealed with key %s\n", s.Secrets.Key.ID())
	return nil
}

// needsOldKey finds files with values that are sealed with one of the old keys.
func needsOldKey(s *config.Settings, old []string) error {
	for _, path := range append(backup.Unsaved(s), s.ConfigFile) {
		text, err := os.ReadFile(path)
		if path == "" || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, id := range seal.KeysOf(text) {
			if slices.Contains(old, id) {
				return fmt.Errorf("%s has values that are sealed with key %s, which stays: give those values anew, or import or remove the file; then run this command again", path, id)
			}
		}
	}
	return nil
}

// finish drops the old keys.
func (c *rotateKeyCmd) finish(ctx context.Context, s *config.Settings, path string, running *adminclient.Client) error {
	old := strings.Join(s.Secrets.Key.OldIDs(), ", ")
	switch {
	case c.KeepOld:
		fmt.Printf("old keys:    nothing needs %s any more; the next run removes it\n", old)
		return nil
	case path == "":
		fmt.Printf("old keys:    nothing needs %s any more: remove it from %s, and restart the proxy\n", old, s.Secrets.Ref)
		return nil
	}
	if err := durable.Change(path, seal.WithoutOldKeys); err != nil {
		return err
	}
	fmt.Printf("old keys:    %s removed from %s\n", old, path)
	if running != nil {
		if err := askForReload(ctx, running); err != nil {
			return err
		}
	}
	fmt.Printf("The key is replaced. Copies of the files from before need %s.\n", old)
	return nil
}
