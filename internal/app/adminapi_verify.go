package app

import (
	"context"
	"errors"
	"sync"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/verify"
	"xoauth2-proxy/oauth"
)

// Verify implements admin.API. If the provider replaces the refresh token, n has
// the new one afterwards.
func (a *adminAPI) Verify(ctx context.Context, n *admin.NewAccount) error {
	settings := a.live.inForce()
	acct, err := a.planned(settings, n)
	if err != nil {
		return err
	}
	newest, err := verify.Apart(ctx, settings, acct)
	if !newest.IsZero() {
		n.RefreshToken, n.Replaced = newest.Reveal(), true
	}
	if err != nil {
		return a.rescue([]*admin.NewAccount{n}, errors.New(verify.Explain(err).Text()))
	}
	return nil
}

// planned returns the account that n would become. With Overwrite it may have keys
// that only the file gives, such as a tenant.
func (a *adminAPI) planned(settings *config.Settings, n *admin.NewAccount) (*account.Account, error) {
	if !n.Overwrite {
		return accountfile.ReadEntry(settings.Accounts(), entryOf(n))
	}
	accounts, err := a.put([]*admin.NewAccount{n}, accountfile.EditOptions{DryRun: true})
	if err != nil {
		return nil, err
	}
	return byEmail(accounts, n.Email)
}

// verifyAllParallel bounds how many accounts are verified at a time.
const verifyAllParallel = 16

// VerifyAll implements admin.API. The token manager that serves mail fetches the
// tokens, with its newest refresh tokens.
func (a *adminAPI) VerifyAll(ctx context.Context) ([]admin.Verdict, error) {
	all := a.store.Load().All()
	verdicts := make([]admin.Verdict, len(all))
	slots := make(chan struct{}, verifyAllParallel)
	var wg sync.WaitGroup
	for i, acct := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			verdicts[i] = a.verifyLive(ctx, acct)
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, errors.New("the proxy is shutting down")
	}
	now := a.store.Load()
	for i, acct := range all { // its owner may have authorized it again meanwhile
		if cur, ok := now.ByID(acct.ID); verdicts[i].Dead && (!ok || cur.ChainFingerprint() != acct.ChainFingerprint()) {
			verdicts[i].Dead = false
		}
	}
	return verdicts, nil
}

// verifyLive verifies an account in force, and says whether it can ever work.
func (a *adminAPI) verifyLive(ctx context.Context, acct *account.Account) admin.Verdict {
	v := admin.Verdict{Email: acct.Email}
	if err := a.tryLive(ctx, acct); err != nil {
		v.Err = errors.New(verify.Explain(err).Text())
		refused, ok := errors.AsType[*oauth.Error](err)
		v.Dead = ok && acct.TokenFlow() == account.FlowRefreshToken && refused.RefreshTokenDead()
	}
	return v
}

// tryLive gets a new token for an account in force, and logs in with it.
func (a *adminAPI) tryLive(ctx context.Context, acct *account.Account) error {
	err := a.tokens.ForceRefresh(ctx, acct)
	if err == nil && !acct.IsCatchAll() { // no login names a whole domain
		err = a.verifier.Verify(ctx, acct)
	}
	return err
}

// VerifyOne implements admin.API.
func (a *adminAPI) VerifyOne(ctx context.Context, email string) (*admin.Verified, error) {
	acct, err := a.find(email)
	if err != nil {
		return nil, err
	}
	done := &admin.Verified{Email: acct.Email, AccountID: acct.ID, Works: true}
	if err := a.tryLive(ctx, acct); err != nil {
		f := verify.Explain(err)
		done.Works, done.Phase, done.Class = false, f.Phase, f.Class
		done.Message, done.Hint, done.HintID, done.Permanent = f.Message, f.Hint, f.HintID, f.Permanent
	}
	return done, nil
}
