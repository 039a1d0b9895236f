package app

import (
	"fmt"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/oauth"
)

// checkNoReferences finds values that are references, or sealed. In the file they
// are the operator's. In a request they would have the proxy read its own files and
// environment, or open a value that was sealed for another account, for the sender.
func checkNoReferences(e *accountfile.Entry) error {
	for _, key := range e.References() {
		return fmt.Errorf("%s: a reference to a secret, or a sealed one, may stand in the accounts file only; a request gives the secret itself", key)
	}
	return nil
}

// checkRedirection refuses an entry that would send stored secrets to another place
// than before. Those who send requests need not know the secrets of the accounts
// that they change; a request that says where secrets go must bring all of them.
func checkRedirection(tokens *oauth.Manager, s *config.Settings, l *accountfile.List, e *accountfile.Entry) error {
	r, err := l.Redirection(s.Accounts(), e)
	if err != nil {
		return fmt.Errorf("%w: the stored account %s cannot be compared with the request: %s", admin.ErrRedirect, e.Email(),
			strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if r == nil {
		return nil
	}
	kept := r.Kept
	if len(kept) == 0 && rotated(tokens, r.Was) && r.Was.ChainFingerprint() == r.Will.ChainFingerprint() {
		kept = []string{"refresh_token that the provider has given since"}
	}
	if len(kept) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the request changes %s of %s, and the stored %s would be used there: bring all secrets of the account anew, or change the accounts file",
		admin.ErrRedirect, strings.Join(r.Changed, ", "), e.Email(), strings.Join(kept, ", "))
}

// rotated reports whether the provider has replaced the refresh token of the file.
func rotated(tokens *oauth.Manager, acct *account.Account) bool {
	state, ok := tokens.State(acct.ID)
	return ok && !state.LastRotation.IsZero()
}
