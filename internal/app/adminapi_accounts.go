package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/admin"
)

// Accounts implements admin.API.
func (a *adminAPI) Accounts() []admin.Account {
	all := a.store.Load().All()
	out := make([]admin.Account, len(all))
	for i, acct := range all {
		out[i] = PublicAccount(acct)
	}
	return out
}

// PublicAccount returns what the admin API shows of an account: no secret.
func PublicAccount(a *account.Account) admin.Account {
	p := admin.Account{
		AccountID: a.ID, Email: a.Email, VMTAName: a.VMTA, Provider: a.Provider,
		OAuthEndpoint: a.SMTP.String(), OAuthTokenURL: a.TokenURL, Senders: a.Senders,
	}
	if a.SourceIP.IsValid() {
		p.IPAddress = a.SourceIP.String()
	}
	return p
}

// entryOf returns the account of a request as an entry of the file. A value that the
// request does not give comes from the file, or from the presets.
func entryOf(n *admin.NewAccount) *accountfile.Entry {
	e := new(accountfile.Entry)
	for _, f := range []struct{ key, value string }{
		{"account_id", n.AccountID}, {"email", n.Email}, {"ip_address", n.IPAddress}, {"vmta_name", n.VMTAName},
		{"provider", strings.ToLower(n.Provider)}, {"oauth_endpoint", n.OAuthEndpoint}, {"oauth_token_url", n.OAuthTokenURL},
		{"client_id", n.ClientID}, {"client_secret", n.ClientSecret}, {"refresh_token", n.RefreshToken},
	} {
		e.Set(f.key, f.value)
	}
	e.SetList("senders", n.Senders)
	return e
}

// Check implements admin.API.
func (a *adminAPI) Check(n *admin.NewAccount) error {
	e := entryOf(n)
	if err := checkNoReferences(e); err != nil {
		return err
	}
	_, err := accountfile.ReadEntry(a.live.inForce().Accounts(), e)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

// Save implements admin.API. If there is a key, the new secrets are sealed.
func (a *adminAPI) Save(list []*admin.NewAccount, dryRun bool) (int, error) {
	accounts, err := a.put(list, accountfile.EditOptions{DryRun: dryRun, Rehearse: dryRun})
	if err != nil || dryRun {
		err = a.rescue(list, err)
	}
	if err != nil {
		return 0, err
	}
	return accounts.Len(), nil
}

// put saves accounts in the file and puts them in force.
func (a *adminAPI) put(list []*admin.NewAccount, how accountfile.EditOptions) (*account.Snapshot, error) {
	if err := a.checkIDs(list); err != nil {
		return nil, err
	}
	return a.live.edit(how, func(l *accountfile.List) error {
		settings := a.live.settings // edit has the lock
		for _, n := range list {
			if !n.Overwrite && l.Has(n.Email) {
				return fmt.Errorf("%w: %s", admin.ErrExists, n.Email)
			}
			e := entryOf(n)
			if err := checkRedirection(a.tokens, settings, l, e); err != nil {
				return err
			}
			if err := e.Seal(settings.Secrets.Key); err != nil {
				return fmt.Errorf("%s: %w", n.Email, err)
			}
			l.Put(e)
		}
		return nil
	})
}

// checkIDs refuses account_ids that other accounts have.
func (a *adminAPI) checkIDs(list []*admin.NewAccount) error {
	settings, have := a.live.inForce(), a.store.Load()
	for _, n := range list {
		acct, err := accountfile.ReadEntry(settings.Accounts(), entryOf(n))
		if err != nil {
			return err
		}
		email := account.FoldLogin(n.Email)
		other, taken := have.ByID(acct.ID)
		if !taken || account.FoldLogin(other.Email) == email {
			continue
		}
		there := slices.ContainsFunc(have.All(), func(a *account.Account) bool { return account.FoldLogin(a.Email) == email })
		if n.AccountID != "" || !there { // otherwise it keeps its account_id
			return fmt.Errorf("%w: account_id %q is that of %s", admin.ErrExists, acct.ID, other.Email)
		}
	}
	return nil
}

// Remove implements admin.API.
func (a *adminAPI) Remove(emails []string, all, dryRun bool) (int, error) {
	how := accountfile.EditOptions{DryRun: dryRun, Rehearse: dryRun}
	accounts, err := a.live.edit(how, func(l *accountfile.List) error {
		if all {
			l.Clear()
			return nil
		}
		for _, email := range emails {
			if err := l.RemoveEmail(email); err != nil {
				return fmt.Errorf("%w: %s", admin.ErrNotFound, email)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return accounts.Len(), nil
}

// rescue keeps the accounts of the list that will not be saved although their
// provider has replaced the refresh token of the request. cause is why they are
// not saved, nil for a dry run. rescue returns it, with the place of the accounts.
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
	path, err := accountfile.Rescue(a.live.inForce().Accounts(), entries)
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
