package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/keeping"
	"xoauth2-proxy/cmd/xoauth2-proxy/internal/keyboard"
	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/oneline"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/consent"
)

// authorizeCmd gets a person's consent, and with it the refresh token of an account,
// and saves the account.
type authorizeCmd struct {
	files
	newAccount
	Method    string        `help:"device (a code to enter on any device), browser (a URL to open, PKCE), or auto: device where the provider has it." default:"auto" enum:"auto,device,browser" placeholder:"METHOD"`
	Tenant    string        `help:"Microsoft tenant, a domain or a GUID; default: any." placeholder:"TENANT"`
	AuthURL   string        `name:"auth-url" help:"Authorization endpoint; default: the provider's." placeholder:"URL"`
	DeviceURL string        `name:"device-url" help:"Device authorization endpoint; default: the provider's." placeholder:"URL"`
	Consent   string        `name:"consent-scope" help:"Scope to ask consent for; default: the provider's, which lets mail be submitted." placeholder:"SCOPE"`
	Timeout   time.Duration `help:"Time for the person." default:"15m" placeholder:"TIME"`
	Verify    bool          `help:"Log in at the provider before the account is saved." default:"true" negatable:""`

	RedirectPort     int    `name:"redirect-port" help:"Port of this machine where the browser comes back, as for ssh -L PORT:127.0.0.1:PORT; default: a free one." placeholder:"PORT"`
	RedirectURI      string `name:"redirect-uri" help:"Redirect address that is registered for the client; default: http://localhost:PORT." placeholder:"URI"`
	ReplaceReference bool   `name:"replace-reference" help:"Put the new refresh token into the accounts file where that refers to a place that cannot be written, and do not ask."`
}

// Run implements the command.
func (c *authorizeCmd) Run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	return c.run(ctx, os.Stdin, os.Stdout)
}

// run is Run with the person's keyboard and screen.
func (c *authorizeCmd) run(ctx context.Context, in io.Reader, out io.Writer) error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	secret, err := keyboard.Secret{Name: "client secret", File: c.ClientSecretFile, Env: "XOAUTH2_CLIENT_SECRET"}.Read(false)
	if err != nil {
		return err
	}
	e := func(refreshToken account.Secret) *accountfile.Entry { return c.entry(secret, refreshToken) }
	old, err := c.adoptExisting(settings, e(notYet))
	if err != nil {
		return err
	}
	if secret.IsZero() && old == nil && c.Certificate == "" { // a stored one stays
		if secret, err = (keyboard.Secret{Name: "client secret", Env: "XOAUTH2_CLIENT_SECRET"}).Read(true); err != nil {
			return err
		}
	}
	p, err := c.provider(settings, old)
	if err != nil {
		return exitError{exitUsage, err}
	}
	c.Overwrite = c.Overwrite || old != nil
	planned, err := c.plan(settings, e(notYet))
	if err != nil {
		return err
	}
	what, err := c.what(settings, planned, p, secret, e)
	if err != nil {
		return err
	}
	keys := bufio.NewScanner(in)
	if reference, why := c.place.Find(settings, c.Email); reference != "" && !c.ReplaceReference && !c.DryRun {
		if err := keeping.Agree(out, keys, c.Email, reference, why); err != nil {
			return exitError{exitUsage, err}
		}
	}
	if c.DryRun {
		fmt.Fprintf(out, "dry run: %s can be authorized and saved; nothing was asked for\n", c.Email)
		return nil
	}
	given, err := c.ask(ctx, settings, what, keys, out)
	if err != nil {
		return fmt.Errorf("no consent: %s", consentFailure(err))
	}
	fmt.Fprintln(out, "Consent was given.")
	consented := e(given.RefreshToken)
	if planned.Certificate == "" && given.SentSecret == planned.ClientSecret.IsZero() {
		if err := consented.SetJSON("send_client_secret", strconv.FormatBool(given.SentSecret)); err != nil {
			return err
		}
	}
	return c.save(ctx, out, settings, consented, c.Verify, true)
}

// notYet stands for the refresh token while there is none.
var notYet = account.NewSecret("none-yet")

// adoptExisting takes the values that the command line leaves out from the account
// with that email, and returns that account, nil if there is none: to authorize an
// account again, its address is enough. planned is the account of the command line;
// with it the file must be valid, so that the person does not consent in vain.
func (c *authorizeCmd) adoptExisting(settings *config.Settings, planned *accountfile.Entry) (*account.Account, error) {
	_, accounts, err := c.load()
	if err != nil || accounts.IsLeftOut([]byte(c.Email)) { // the account may just lack its refresh token
		accounts, err = edit(settings, accountfile.EditOptions{Create: true, DryRun: true}, func(l *accountfile.List) error {
			if l.Has(c.Email) {
				l.Put(planned)
			}
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	old, err := find(accounts, c.Email)
	if err != nil {
		return nil, nil
	}
	if flow := old.TokenFlow(); flow != account.FlowRefreshToken {
		return nil, fmt.Errorf("%s has the oauth_flow %s, which takes nobody's consent", old.Email, flow)
	}
	c.Email = old.Email
	if c.Provider == "" {
		c.Provider = old.Provider
	}
	if c.ClientID == "" {
		c.ClientID = old.ClientID
	}
	return old, nil
}

// provider returns the endpoints at which old, or a new account, is authorized.
func (c *authorizeCmd) provider(settings *config.Settings, old *account.Account) (p account.Provider, err error) {
	name := strings.ToLower(cmp.Or(c.Provider, accountfile.ProviderOf(c.Email)))
	preset := settings.Providers[name]
	switch {
	case name == "":
		return p, fmt.Errorf("--provider: the domain of %q does not tell it", c.Email)
	case preset == nil:
		return p, fmt.Errorf("--provider: %q is neither gmail nor outlook nor a section under providers in config.json", name)
	case c.ClientID == "":
		return p, errors.New("--client-id: is needed")
	}
	p = *preset
	if c.Tenant != "" {
		var ok bool
		if p, ok = p.ForTenant(c.Tenant); !ok {
			return p, fmt.Errorf("--tenant: %q is no tenant of %s", c.Tenant, name)
		}
		if c.OAuthTokenURL == "" {
			c.OAuthTokenURL = p.TokenURL
		}
	}
	// A code is exchanged at the provider that issued it. Tokens may be refreshed at
	// another endpoint.
	if old != nil && c.OAuthTokenURL == "" && old.TokenURL != p.TokenURLFor(old.Email) {
		p = atTokenURL(p, old.TokenURL)
	}
	p.TokenURL = cmp.Or(c.OAuthTokenURL, p.TokenURL)
	p.AuthURL, p.DeviceURL = cmp.Or(c.AuthURL, p.AuthURL), cmp.Or(c.DeviceURL, p.DeviceURL)
	if c.Method == "auto" {
		c.Method = "browser"
		if p.DeviceURL != "" {
			c.Method = "device"
		}
	}
	return p, nil
}

// what returns the consent to ask for at p: the one of the account as planned, with the
// secret of the command line if there is one, sent or not. e is as in run.
func (c *authorizeCmd) what(settings *config.Settings, planned *account.Account, p account.Provider, secret account.Secret, e func(account.Secret) *accountfile.Entry) (consent.Config, error) {
	client := *planned
	client.TokenURL, client.RefreshToken = p.TokenURL, account.Secret{}
	what := consent.Config{Account: &client, AuthURL: p.AuthURL, DeviceURL: p.DeviceURL, Scope: cmp.Or(c.Consent, p.ConsentScope)}
	if client.Certificate != "" || !client.ClientSecret.IsZero() {
		return what, nil
	}
	confidential := e(notYet) // sends the secret that it has, if any
	if err := confidential.SetJSON("send_client_secret", "true"); err != nil {
		return what, err
	}
	a, err := c.preview(settings, confidential, false)
	if err != nil {
		return what, err
	}
	what.Spare = a.ClientSecret
	client.ClientSecret = secret
	return what, nil
}

// atTokenURL returns p with the token endpoint of an account. If the endpoint belongs
// to a tenant, people consent at the tenant too: other endpoints refuse applications
// that belong to one tenant.
func atTokenURL(p account.Provider, tokenURL string) account.Provider {
	if u, err := url.Parse(tokenURL); err == nil {
		tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if own, ok := p.ForTenant(tenant); ok && own.TokenURL == tokenURL {
			return own
		}
	}
	p.TokenURL = tokenURL
	return p
}

// ask gets the consent.
func (c *authorizeCmd) ask(ctx context.Context, settings *config.Settings, what consent.Config, keys *bufio.Scanner, out io.Writer) (*consent.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, errors.New("nobody answered in time"))
	defer cancel()
	z := consent.New(settings.OAuth.Config, what)
	defer z.Close()
	who := what.Account.Identity()
	if c.Method == "device" {
		return z.DeviceAuthorize(ctx, func(p consent.Prompt) {
			fmt.Fprintf(out, "%s\n  %s\n\n%s", table.Wrap("On any device, open"), oneline.Text(p.URL, ' '),
				table.Wrap(fmt.Sprintf("and enter the code %s, as %s, until %s.", oneline.Text(p.Code, ' '), who, p.Expiry.Local().Format(time.TimeOnly))))
			if p.URLWithCode != "" {
				fmt.Fprintf(out, "\n%s\n  %s\n", table.Wrap("This address has the code in it:"), oneline.Text(p.URLWithCode, ' '))
			}
			fmt.Fprintf(out, "\n%s", table.Wrap(waiting))
		})
	}
	request, err := z.AuthCode(consent.Redirect{Port: c.RedirectPort, URI: c.RedirectURI})
	if err != nil {
		return nil, err
	}
	defer request.Close()
	fmt.Fprintf(out, "%s\n  %s\n\n%s\n%s", table.Wrap(fmt.Sprintf("Open this address in a browser and consent as %s:", who)), request.URL(),
		table.Wrap(fmt.Sprintf("A browser on this machine comes back by itself. One on another machine ends at an address that begins with %s and shows an error: "+
			"copy that address from the browser, paste it here and press Enter.", request.RedirectURL())), table.Wrap(waiting))
	return waitOrPaste(ctx, request, keys, out)
}

// waiting is the last line while the person is elsewhere.
const waiting = "Waiting for the consent. An interrupt (Ctrl-C) gives it up."

// waitOrPaste waits for the browser or a pasted answer, and returns the first. What is
// no answer is refused on the screen.
func waitOrPaste(ctx context.Context, request *consent.Request, keys *bufio.Scanner, out io.Writer) (*consent.Result, error) {
	type answer struct {
		given *consent.Result
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	came := make(chan answer, 1)
	go func() {
		given, err := request.Wait(ctx)
		came <- answer{given, err}
	}()
	pasted := make(chan string)
	go func() { // ends with the input, or with the process
		for keys.Scan() {
			if text := strings.TrimSpace(keys.Text()); text != "" {
				select {
				case pasted <- text:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	for {
		select {
		case a := <-came:
			return a.given, a.err
		case text := <-pasted:
			given, err := request.Exchange(ctx, text)
			if !errors.Is(err, consent.ErrNotAnswer) {
				return given, err
			}
			fmt.Fprintf(out, "%v. Paste the address, which begins with %s, and press Enter:\n", err, request.RedirectURL())
		}
	}
}

// consentFailure says why there is no consent, and how to get it.
func consentFailure(err error) string {
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		return err.Error()
	}
	text := e.Public()
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Description != "" {
		text += fmt.Sprintf("; the provider says %q", e.Description)
	}
	return text
}
