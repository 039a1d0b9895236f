package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/term"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
)

// secretInput is where a secret comes from that must not be on the command
// line, where every user of the machine sees it.
type secretInput struct {
	name, file, env string
}

// read returns the secret: from the file ("-": one line of standard input), the
// environment, or, if there is a terminal, the person at it. "" if there is none.
func (in secretInput) read(ask bool) (account.Secret, error) {
	switch {
	case in.file == "-":
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return account.Secret{}, err
		}
		return account.NewSecret(strings.TrimSpace(line)), nil
	case in.file != "":
		data, err := os.ReadFile(in.file)
		return account.NewSecret(strings.TrimSpace(string(data))), err
	case os.Getenv(in.env) != "":
		return account.NewSecret(os.Getenv(in.env)), nil
	case ask && term.IsTerminal(int(os.Stdin.Fd())):
		fmt.Fprintf(os.Stderr, "%s (not shown, empty for none): ", in.name)
		text, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		return account.NewSecret(strings.TrimSpace(string(text))), err
	}
	return account.Secret{}, nil
}

// newAccount is the flags that describe an account.
type newAccount struct {
	Email            string `arg:"" help:"Address of the mailbox, and login name."`
	Provider         string `help:"gmail, outlook or a section under providers in config.json; told by the domain of well-known addresses." placeholder:"NAME"`
	ClientID         string `name:"client-id" help:"OAuth2 client that the consent is given to." placeholder:"ID"`
	ClientSecretFile string `help:"File with the client secret; - is standard input. Else XOAUTH2_CLIENT_SECRET, else the terminal." placeholder:"FILE"`
	AccountID        string `name:"account-id" help:"Name in logs; default: provider and email." placeholder:"ID"`
	OAuthEndpoint    string `name:"oauth-endpoint" help:"Submission host:port; default: the provider's." placeholder:"HOST:PORT"`
	OAuthTokenURL    string `name:"oauth-token-url" help:"Token endpoint; default: the provider's." placeholder:"URL"`
	Scope            string `help:"Scope to send with a refresh; default: the provider's." placeholder:"SCOPE"`
	IPAddress        string `name:"ip-address" help:"Local address to connect from." placeholder:"ADDR"`
	VMTAName         string `name:"vmta-name" help:"Virtual MTA that uses the account, for information." placeholder:"NAME"`
	Overwrite        bool   `help:"Replace an account with that email; keys that are not given stay."`
	DryRun           bool   `help:"Check everything, write nothing."`
}

// provider is the provider's name; "" if there is no telling it.
func (n *newAccount) provider() string {
	if n.Provider != "" {
		return strings.ToLower(n.Provider)
	}
	return config.ProviderOf(n.Email)
}

// entry is the account as it is to stand in the file.
func (n *newAccount) entry(clientSecret, refreshToken account.Secret) *config.AccountEntry {
	e := new(config.AccountEntry)
	for _, f := range []field{
		{"account_id", n.AccountID}, {"email", n.Email}, {"provider", n.provider()}, {"client_id", n.ClientID},
		{"client_secret", clientSecret.Reveal()}, {"refresh_token", refreshToken.Reveal()},
		{"oauth_endpoint", n.OAuthEndpoint}, {"oauth_token_url", n.OAuthTokenURL}, {"scope", n.Scope},
		{"ip_address", n.IPAddress}, {"vmta_name", n.VMTAName},
	} {
		e.Set(f.key, f.value)
	}
	return e
}

// save puts e into the file, after having verified the account if so wanted.
// complete is e with what the file has already.
func (n *newAccount) save(out io.Writer, settings *config.Settings, complete, e *config.AccountEntry, verify bool) error {
	a, err := config.ReadEntry(settings, complete)
	if err != nil {
		return exitError{exitUsage, fmt.Errorf("%s:\n%w", n.Email, err)}
	}
	if verify {
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
		defer cancel()
		ctx, cancelTimeout := context.WithTimeout(ctx, time.Minute)
		defer cancelTimeout()
		newest, err := verifyApart(ctx, settings, a)
		if err != nil {
			return fmt.Errorf("%s does not work, and was not saved (--no-verify saves it anyhow): %s", n.Email, explain(err).text())
		}
		if !newest.IsZero() {
			e.Set("refresh_token", newest.Reveal())
		}
	}
	if err := sealNew(e, settings.Secrets.Key); err != nil {
		return err
	}
	replaced := false
	accounts, err := config.EditAccounts(settings, config.Edit{Create: true, DryRun: n.DryRun}, func(l *config.AccountList) error {
		if !n.Overwrite {
			return l.Add(e)
		}
		replaced = l.Put(e)
		return nil
	})
	if errors.Is(err, config.ErrAccountExists) {
		return fmt.Errorf("%w (--overwrite replaces it)", err)
	}
	if err != nil {
		return fileError(err)
	}
	did := "added"
	if replaced {
		did = "replaced"
	}
	_, err = fmt.Fprintf(out, "%s%s %s in %s: %d accounts\n", dryRunPrefix(n.DryRun), n.Email, did, settings.AccountsFile, accounts.Len())
	return err
}

// accountsAddCmd adds an account whose refresh token is there already.
type accountsAddCmd struct {
	files
	newAccount
	RefreshTokenFile string `help:"File with the refresh token; - is standard input. Else XOAUTH2_REFRESH_TOKEN, else the terminal." placeholder:"FILE"`
	Verify           bool   `help:"Log in at the provider before it is saved." default:"true" negatable:""`
}

// Run implements the command.
func (c *accountsAddCmd) Run() error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	clientSecret, err := secretInput{"client secret", c.ClientSecretFile, "XOAUTH2_CLIENT_SECRET"}.read(true)
	if err != nil {
		return err
	}
	refreshToken, err := secretInput{"refresh token", c.RefreshTokenFile, "XOAUTH2_REFRESH_TOKEN"}.read(true)
	if err != nil {
		return err
	}
	e := c.entry(clientSecret, refreshToken)
	return c.save(os.Stdout, settings, e, e, c.Verify)
}
