package keeping

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
)

// Place is where a new refresh token goes. The zero value is the accounts file.
type Place struct {
	file  *accountfile.SecretFile // to which the account refers, or nil
	token account.Secret          // for the file, in clear
}

// Find finds where the refresh token of the account with that email is. reference is
// the one in the accounts file that a new token would replace, "" if none; why says
// why it cannot stay.
func (p *Place) Find(settings *config.Settings, email string) (reference string, why error) {
	_, err := accountfile.Edit(settings.Accounts(), accountfile.EditOptions{Create: true, DryRun: true}, func(l *accountfile.List) error {
		reference = l.Reference(email, "refresh_token")
		return nil
	})
	if err != nil || reference == "" {
		return "", nil // a file that cannot be read is reported by what comes next
	}
	file, err := accountfile.NewSecretFile(reference)
	if err == nil {
		err = file.Rehearse()
	}
	if err != nil {
		return reference, err
	}
	p.file = file
	return "", nil
}

// Take takes the refresh token out of e, if it is for a file.
func (p *Place) Take(e *accountfile.Entry) {
	if p.file != nil && e.Get("refresh_token") != "" {
		p.token = account.NewSecret(e.Get("refresh_token"))
	}
}

// Write writes the token that Take took, and returns what is left of e for the accounts
// file, until restore gives e its token back.
func (p *Place) Write(out io.Writer, e *accountfile.Entry) (restore func(), err error) {
	if p.file == nil || p.token.IsZero() {
		return func() {}, nil
	}
	if err := p.file.Replace(p.token); err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "the new refresh token is in %s\n", p.file.Path())
	kept := e.Get("refresh_token")
	e.Set("refresh_token", "")
	return func() { e.Set("refresh_token", kept) }, nil
}

// errKeepsReference: the person does not want the reference replaced.
var errKeepsReference = errors.New("say --replace-reference to have the new refresh token put into the accounts file in its place")

// Agree has the person agree that the new refresh token of email replaces a reference.
func Agree(out io.Writer, keyboard *bufio.Scanner, email, reference string, why error) error {
	why = fmt.Errorf("the refresh_token of %s is %s, where a new one cannot go: %w", email, reference, why)
	fmt.Fprintf(out, "%v\nPut the new one into the accounts file in its place? [y/N] ", why)
	if keyboard.Scan() {
		switch strings.ToLower(strings.TrimSpace(keyboard.Text())) {
		case "y", "yes":
			return nil
		}
	}
	fmt.Fprintln(out)
	return fmt.Errorf("%w: %w", why, errKeepsReference)
}
