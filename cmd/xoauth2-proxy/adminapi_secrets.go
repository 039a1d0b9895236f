package main

import (
	"fmt"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
)

// checkNoReferences finds values that are references, or sealed. In the file
// they are the operator's; in a request they would have the proxy read its own
// files and environment, or open what was sealed for another account, for
// its sender.
func checkNoReferences(e *accountfile.Entry) error {
	for _, key := range e.References() {
		return fmt.Errorf("%s: a reference to a secret, or a sealed one, may stand in the accounts file only; a request gives the secret itself", key)
	}
	return nil
}

// checkRedirection refuses an entry that would have stored secrets go elsewhere
// than they are for. Those who send requests need not know the secrets of the
// accounts that they change; a request that says where secrets go must bring all
// of them.
func (a *adminAPI) checkRedirection(s *config.Settings, l *accountfile.List, e *accountfile.Entry) error {
	r, err := l.Redirection(s.Accounts(), e)
	if err != nil {
		return fmt.Errorf("%w: the stored account %s cannot be compared with the request: %s", admin.ErrRedirect, e.Email(),
			strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if r == nil {
		return nil
	}
	kept := r.Kept
	if len(kept) == 0 && a.rotated(r.Was) && r.Was.ChainFingerprint() == r.Will.ChainFingerprint() {
		kept = []string{"refresh_token that the provider has given since"}
	}
	if len(kept) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the request changes %s of %s, and the stored %s would be used there: bring all secrets of the account anew, or change the accounts file",
		admin.ErrRedirect, strings.Join(r.Changed, ", "), e.Email(), strings.Join(kept, ", "))
}

// rotated reports whether the provider has replaced the refresh token that the
// file has.
func (a *adminAPI) rotated(acct *account.Account) bool {
	state, ok := a.tokens.State(acct.ID)
	return ok && !state.LastRotation.IsZero()
}
