package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/durable"
)

// rescuePause is between two tries to save what can be kept in no place.
const rescuePause = 5 * time.Second

// rescueDirs are where accounts are kept that cannot be saved in their file, the
// best place first.
func rescueDirs(s *config.Settings) (dirs []string) {
	if state := s.StateFile(""); state != "" {
		dirs = append(dirs, filepath.Clean(state))
	}
	dirs = append(dirs, filepath.Dir(s.AccountsFile))
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, home)
	}
	return append(dirs, os.TempDir())
}

// rescue keeps accounts whose refresh tokens exist nowhere else, as a list that
// accounts import reads, in a file of its own that only its owner may read.
// Secrets are sealed if there is a key.
func rescue(s *config.Settings, entries []*accountfile.Entry) (path string, err error) {
	texts := make([]string, len(entries))
	for i, e := range entries {
		if err := e.Seal(s.Secrets.Key); err != nil {
			return "", err
		}
		texts[i] = e.Text()
	}
	list := []byte("[" + strings.Join(texts, ",\n") + "]\n")
	name := "unsaved-accounts-" + time.Now().UTC().Format("20060102-150405.000000000") + ".json"
	var errs []error
	for _, dir := range rescueDirs(s) {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err == nil {
			err = durable.Create(path, list)
		}
		if err == nil {
			return path, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// whereRescued tells what to do about accounts that are in the file at path.
func whereRescued(s *config.Settings, path string) string {
	command := "xoauth2-proxy accounts import --overwrite --accounts " + s.AccountsFile
	if s.ConfigFile != "" {
		command += " --config " + s.ConfigFile
	}
	return fmt.Sprintf("The new refresh token is kept in %s, which only its owner may read. To save it in %s, run\n  %s %s\nand remove that file",
		path, s.AccountsFile, command, path)
}

// keepUnsaved is for an account that is not to be saved, because of failed or
// for a dry run (nil). If the refresh token of e is precious, it is kept.
func keepUnsaved(out io.Writer, s *config.Settings, e *accountfile.Entry, precious bool, failed error) error {
	if !precious {
		return failed
	}
	path, err := rescue(s, []*accountfile.Entry{e})
	switch {
	case err != nil:
		return errors.Join(failed, fmt.Errorf("the new refresh token of %s is lost: %w", e.Email(), err))
	case failed != nil:
		return fmt.Errorf("%w\n%s", failed, whereRescued(s, path))
	}
	fmt.Fprintf(out, "The provider has replaced the refresh token of %s.\n%s\n", e.Email(), whereRescued(s, path))
	return nil
}

// keep is for an account whose refresh token exists nowhere else, after write has
// tried to save it. If it failed, with cause, the account is kept elsewhere, or
// write is tried again until ctx ends.
func keep(ctx context.Context, out io.Writer, s *config.Settings, e *accountfile.Entry, cause error, write func() error) error {
	for cause != nil {
		path, err := rescue(s, []*accountfile.Entry{e})
		if err == nil {
			return fmt.Errorf("cannot save: %w\n%s", cause, whereRescued(s, path))
		}
		fmt.Fprintf(out, "cannot save: %v\nThe new refresh token cannot be kept elsewhere either:\n%v\nMake room: it is tried again every %v. An interrupt gives it up.\n",
			cause, err, rescuePause)
		select {
		case <-ctx.Done():
			return fmt.Errorf("given up, the new refresh token of %s is lost: authorize it again: %w", e.Email(), cause)
		case <-time.After(rescuePause):
		}
		cause = write()
	}
	return nil
}

// rescue keeps those accounts of the list whose provider has replaced the refresh
// token of the request: they will not be saved, because of cause, which is nil
// for a dry run. It returns cause, and says where they are.
func (a *adminAPI) rescue(list []*admin.NewAccount, cause error) error {
	var entries []*accountfile.Entry
	for _, n := range list {
		if n.Replaced {
			entries = append(entries, entryOf(n))
		}
	}
	if len(entries) == 0 {
		return cause
	}
	path, err := rescue(a.live.inForce(), entries)
	if err != nil {
		a.live.log.Error("accounts were not saved, and their new refresh tokens are lost", zap.Int("accounts", len(entries)), zap.Error(err))
		return errors.Join(cause, errors.New("the new refresh token is lost: "+err.Error()))
	}
	a.live.log.Warn("accounts were not saved, and their new refresh tokens are kept; accounts import --overwrite saves them",
		zap.Int("accounts", len(entries)), zap.String("file", path))
	if cause != nil {
		cause = fmt.Errorf("%w; the provider has replaced the refresh token, the new one is kept in %s", cause, path)
	}
	return cause
}
