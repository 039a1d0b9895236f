// Package keeping sees to it that a new refresh token, which exists nowhere else, is not lost.
package keeping

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/verify"
)

// rescuePause is the time between two tries to save an account that no place takes.
const rescuePause = 5 * time.Second

// whereRescued tells what to do with the accounts in the file at path.
func whereRescued(s *config.Settings, path string) string {
	return fmt.Sprintf("The new refresh token is kept in %s, which only its owner may read. To save it in %s, run\n  %s\nand remove that file",
		path, s.AccountsFile, importOf(s, path))
}

// importOf is the command that saves the accounts in the file at path.
func importOf(s *config.Settings, path string) string {
	command := "xoauth2-proxy accounts import --overwrite --accounts " + s.AccountsFile
	if s.ConfigFile != "" {
		command += " --config " + s.ConfigFile
	}
	return command + " " + path
}

// Unsaved handles an account that is not saved because of failed, or for a dry
// run (nil). It keeps e elsewhere if its refresh token is precious.
func Unsaved(out io.Writer, s *config.Settings, e *accountfile.Entry, precious bool, failed error) error {
	if !precious {
		return failed
	}
	path, err := accountfile.Rescue(s.Accounts(), []*accountfile.Entry{e})
	switch {
	case err != nil:
		return errors.Join(failed, fmt.Errorf("the new refresh token of %s is lost: %w", e.Email(), err))
	case failed != nil:
		return fmt.Errorf("%w\n%s", failed, whereRescued(s, path))
	}
	fmt.Fprintf(out, "The provider has replaced the refresh token of %s.\n%s\n", e.Email(), whereRescued(s, path))
	return nil
}

// Keep handles an account whose refresh token exists nowhere else, after write has
// tried to save it. If write failed, with cause, Keep puts the account elsewhere, or
// calls write again until ctx ends.
func Keep(ctx context.Context, out io.Writer, s *config.Settings, e *accountfile.Entry, cause error, write func() error) error {
	for cause != nil {
		path, err := accountfile.Rescue(s.Accounts(), []*accountfile.Entry{e})
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

// Settle ends the use of a Saver: it tells where the new refresh tokens are, and
// tries again to save those that are in memory only, until ctx ends. The error says
// which the accounts file does not have.
func Settle(ctx context.Context, out io.Writer, s *config.Settings, saver *verify.Saver) error {
	for {
		err := saver.Flush()
		if err == nil {
			break
		}
		fmt.Fprintf(out, "cannot save new refresh tokens: %v\nMake room: it is tried again every %v. An interrupt gives them up.\n", err, rescuePause)
		select {
		case <-ctx.Done():
			return fmt.Errorf("given up, new refresh tokens are lost: authorize the accounts again that do not work: %w", err)
		case <-time.After(rescuePause):
		}
	}
	inFile, referred := saver.Saved()
	if inFile > 0 {
		fmt.Fprintf(out, "%d new refresh tokens saved in %s\n", inFile, s.AccountsFile)
	}
	if referred > 0 {
		fmt.Fprintf(out, "%d new refresh tokens saved in files to which %s refers\n", referred, s.AccountsFile)
	}
	if n, path, cause := saver.Kept(); n > 0 {
		return fmt.Errorf("%d new refresh tokens are not in %s: %w\n"+
			"They are kept in %s, which only its owner may read. To have them in %s in place of what is there, run\n  %s\nand remove that file. "+
			"With oauth.token_store in config.json this command saves them there by itself",
			n, s.AccountsFile, cause, path, s.AccountsFile, importOf(s, path))
	}
	return nil
}
