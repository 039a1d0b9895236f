package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/keeping"
	"xoauth2-proxy/cmd/xoauth2-proxy/internal/keyboard"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/verify"
	"xoauth2-proxy/oauth"
)

// newAccount has the flags that describe an account.
type newAccount struct {
	Email            string   `arg:"" help:"Address of the mailbox, and login name."`
	Provider         string   `help:"gmail, outlook or a section under providers in config.json; told by the domain of well-known addresses." placeholder:"NAME"`
	ClientID         string   `name:"client-id" help:"OAuth2 client that the consent is given to." placeholder:"ID"`
	ClientSecretFile string   `help:"File with the client secret; - is standard input. Else XOAUTH2_CLIENT_SECRET, else the terminal." placeholder:"FILE"`
	AccountID        string   `name:"account-id" help:"Name in logs; default: provider and email." placeholder:"ID"`
	OAuthEndpoint    string   `name:"oauth-endpoint" help:"Submission host:port; default: the provider's." placeholder:"HOST:PORT"`
	OAuthTokenURL    string   `name:"oauth-token-url" help:"Token endpoint; default: the provider's." placeholder:"URL"`
	Scope            string   `help:"Scope to send with a refresh; default: the provider's." placeholder:"SCOPE"`
	IPAddress        string   `name:"ip-address" help:"Local address to connect from." placeholder:"ADDR"`
	VMTAName         string   `name:"vmta-name" help:"Virtual MTA that uses the account, for information." placeholder:"NAME"`
	Senders          []string `help:"Addresses that clients may send from: a@example.com, @example.com, self; default: every address." placeholder:"ADDR,..."`
	AuthIdentity     string   `name:"auth-identity" help:"User that logs in at the provider, such as the one of a shared mailbox; default: the mailbox." placeholder:"USER"`
	Certificate      string   `name:"client-certificate" help:"PEM file with the certificate of the client; the account refers to it." placeholder:"FILE"`
	PrivateKey       string   `name:"client-private-key" help:"PEM file with its private key; the account refers to it." placeholder:"FILE"`
	Overwrite        bool     `help:"Replace an account with that email; keys that are not given stay."`
	DryRun           bool     `help:"Check everything, write nothing."`

	place keeping.Place
}

// entry returns the account of the flags as an entry of the file.
func (n *newAccount) entry(clientSecret, refreshToken account.Secret) *accountfile.Entry {
	e := new(accountfile.Entry)
	for _, f := range []field{
		{"account_id", n.AccountID}, {"email", n.Email}, {"provider", strings.ToLower(n.Provider)}, {"client_id", n.ClientID},
		{"client_secret", clientSecret.Reveal()}, {"refresh_token", refreshToken.Reveal()},
		{"oauth_endpoint", n.OAuthEndpoint}, {"oauth_token_url", n.OAuthTokenURL}, {"scope", n.Scope},
		{"ip_address", n.IPAddress}, {"vmta_name", n.VMTAName}, {"auth_identity", n.AuthIdentity},
		{"client_certificate", fileReference(n.Certificate)}, {"client_private_key", fileReference(n.PrivateKey)},
	} {
		e.Set(f.key, f.value)
	}
	e.SetList("senders", n.Senders)
	return e
}

// fileReference returns the reference to the file at path; "" for "".
func fileReference(path string) string {
	if path == "" {
		return ""
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return "file:" + path
}

// put puts e into the list. A new account must be complete by itself; an account of
// the list keeps the keys that e does not have.
func (n *newAccount) put(settings *config.Settings, l *accountfile.List, e *accountfile.Entry) (replaced bool, err error) {
	switch there := l.Has(e.Email()); {
	case there && !n.Overwrite:
		return false, fmt.Errorf("%w: %s (--overwrite replaces it)", accountfile.ErrAccountExists, e.Email())
	case !there:
		if e.Get("provider") == "" {
			e.Set("provider", accountfile.ProviderOf(e.Email()))
		}
		if _, err := accountfile.ReadEntry(settings.Accounts(), e); err != nil {
			return false, exitError{exitUsage, fmt.Errorf("%s:\n%w", n.Email, err)}
		}
	}
	return l.Put(e), nil
}

// plan finds out whether e can be saved, before a step that cannot be repeated: a
// person consents, or a provider replaces the refresh token. It returns the account
// that would be in force.
func (n *newAccount) plan(settings *config.Settings, e *accountfile.Entry) (*account.Account, error) {
	return n.preview(settings, e, !n.DryRun)
}

// preview returns the account that would be in force with e. With rehearse it fails
// where saving e would fail.
func (n *newAccount) preview(settings *config.Settings, e *accountfile.Entry, rehearse bool) (*account.Account, error) {
	accounts, err := edit(settings, accountfile.EditOptions{Create: true, DryRun: true, Rehearse: rehearse}, func(l *accountfile.List) error {
		_, err := n.put(settings, l, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return find(accounts, e.Email())
}

// save puts e into the file, and verifies the account first if verified is true.
// precious says that a person consented to the refresh token of e, which exists nowhere
// else: it is kept whatever fails, and saved unless its login shows that it is no good.
// A token that the provider gives during verification is kept too.
func (n *newAccount) save(ctx context.Context, out io.Writer, settings *config.Settings, e *accountfile.Entry, verified, precious bool) error {
	a, err := n.plan(settings, e)
	replaced, unproven := false, ""
	if err == nil && verified {
		var failed error
		if replaced, failed = n.verify(ctx, out, settings, a, e); failed != nil {
			why := verify.Explain(failed)
			if !precious || !mayWorkLater(why) {
				failed = fmt.Errorf("%s does not work, and was not saved (--no-verify saves it anyhow): %s", n.Email, why.Text())
				return keeping.Unsaved(out, settings, e, precious || replaced, failed)
			}
			unproven = why.Text()
		}
	}
	n.place.Take(e)
	write := func() error { return n.write(out, settings, e) }
	if err == nil {
		err = write()
	}
	switch {
	case n.DryRun:
		return keeping.Unsaved(out, settings, e, replaced, err)
	case precious || replaced:
		err = keeping.Keep(ctx, out, settings, e, err, write)
	}
	if err == nil && unproven != "" {
		fmt.Fprintf(out, "warning: the consent is saved, but the login that was to prove it failed: %s\nTry again with\n  xoauth2-proxy accounts verify %s\n", unproven, n.Email)
	}
	return err
}

// mayWorkLater reports whether the login of an account that failed says nothing against
// its refresh token: the failure passes, or the mailbox itself may not submit yet.
func mayWorkLater(f verify.Failure) bool {
	switch f.Class {
	case oauth.ClassTokenRefused.String():
		return false
	case oauth.ClassLoginRefused.String():
		return true
	}
	return !f.Permanent
}

// verify logs in as the account a, which e describes. If the provider replaces
// the refresh token, e has the new one afterwards.
func (n *newAccount) verify(ctx context.Context, out io.Writer, settings *config.Settings, a *account.Account, e *accountfile.Entry) (replaced bool, err error) {
	if a.TokenFlow() == account.FlowRefreshToken && e.Get("refresh_token") == "" {
		// The proxy may have a newer one by now, and some providers take the use of
		// an older one for a theft.
		fmt.Fprintf(out, "%s keeps its refresh token and is not verified\n", n.Email)
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	newest, err := verify.Apart(ctx, settings, a)
	if !newest.IsZero() {
		e.Set("refresh_token", newest.Reveal())
	}
	return !newest.IsZero(), err
}

// write saves e in the file.
func (n *newAccount) write(out io.Writer, settings *config.Settings, e *accountfile.Entry) error {
	if !n.DryRun {
		restore, err := n.place.Write(out, e)
		if err != nil {
			return err
		}
		defer restore()
	}
	if err := e.Seal(settings.Secrets.Key); err != nil {
		return err
	}
	replaced := false
	accounts, err := edit(settings, accountfile.EditOptions{Create: true, DryRun: n.DryRun}, func(l *accountfile.List) (err error) {
		replaced, err = n.put(settings, l, e)
		return err
	})
	if err != nil {
		return err
	}
	did := "added"
	if replaced {
		did = "replaced"
	}
	fmt.Fprintf(out, "%s%s %s in %s: %d accounts\n", dryRunPrefix(n.DryRun), n.Email, did, settings.AccountsFile, accounts.Len())
	return nil
}

// accountsAddCmd adds an account that has credentials already.
type accountsAddCmd struct {
	files
	newAccount
	RefreshTokenFile  string `help:"File with the refresh token; - is standard input. Else XOAUTH2_REFRESH_TOKEN, else the terminal." placeholder:"FILE"`
	OAuthFlow         string `name:"oauth-flow" help:"How access tokens are got, if not by a refresh token: client_credentials, service_account or external." placeholder:"FLOW"`
	Tenant            string `help:"Microsoft tenant, a domain or a GUID." placeholder:"TENANT"`
	Subject           string `help:"Mailbox that a service account acts for; default: the one that logs in." placeholder:"EMAIL"`
	ServiceAccountKey string `name:"service-account-key" help:"JSON key file of a Google service account; the account refers to it." placeholder:"FILE"`
	Verify            bool   `help:"Log in at the provider before it is saved." default:"true" negatable:""`
}

// Run implements the command.
func (c *accountsAddCmd) Run() error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	clientSecret, err := keyboard.Secret{Name: "client secret", File: c.ClientSecretFile, Env: "XOAUTH2_CLIENT_SECRET"}.Read(c.Certificate == "" && c.ServiceAccountKey == "")
	if err != nil {
		return err
	}
	var refreshToken account.Secret
	if c.OAuthFlow == "" || c.OAuthFlow == string(account.FlowRefreshToken) {
		if refreshToken, err = (keyboard.Secret{Name: "refresh token", File: c.RefreshTokenFile, Env: "XOAUTH2_REFRESH_TOKEN"}).Read(true); err != nil {
			return err
		}
	}
	e := c.entry(clientSecret, refreshToken)
	for _, f := range []field{{"oauth_flow", c.OAuthFlow}, {"tenant", c.Tenant}, {"subject", c.Subject},
		{"service_account_key", fileReference(c.ServiceAccountKey)}} {
		e.Set(f.key, f.value)
	}
	if reference, why := c.place.Find(settings, c.Email); reference != "" && !refreshToken.IsZero() {
		fmt.Fprintf(os.Stderr, "warning: the refresh token replaces %s in the accounts file: %v\n", reference, why)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	return c.save(ctx, os.Stdout, settings, e, c.Verify, false)
}
