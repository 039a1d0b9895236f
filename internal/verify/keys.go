package verify

import (
	"errors"
	"fmt"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/oauth"
)

// AllKeys finds accounts of the file that cannot sign with the keys they have:
// their first token requests would fail, and all later ones. The errors are of
// type keyfile.Problem.
func AllKeys(file string, accounts *account.Snapshot) error {
	checked := make(Keys)
	var errs []error
	for i, a := range accounts.All() {
		if err := checked.Check(a); err != nil {
			errs = append(errs, &keyfile.Problem{File: file, Key: fmt.Sprintf("accounts[%d]", i), Message: fmt.Sprintf("%s: %v", a.Email, err)})
		}
	}
	return errors.Join(errs...)
}

// Keys has the results for keys that were checked: many accounts share a pair.
type Keys map[keyPair]error

type keyPair struct {
	certificate string
	key         account.Secret
}

// Check is oauth.CheckKeys.
func (checked Keys) Check(a *account.Account) error {
	if a.PrivateKey.IsZero() {
		return nil
	}
	pair := keyPair{a.Certificate, a.PrivateKey}
	err, known := checked[pair]
	if !known {
		err = oauth.CheckKeys(a)
		checked[pair] = err
	}
	return err
}
