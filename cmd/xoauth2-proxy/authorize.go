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
	"strings"
	"syscall"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
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
	secret, err := secretInput{"client secret", c.ClientSecretFile, "XOAUTH2_CLIENT_SECRET"}.read(false)
	if err != nil {
		return err
	}
	e := func(refreshToken account.Secret) *accountfile.Entry { return c.entry(secret, refreshToken) }
	old, err := c.adoptExisting(settings, e(notYet))
	if err != nil {
		return err
	}
	full := secret // for the requests
	if secret.IsZero() && old != nil {
		full = old.ClientSecret
	}
	what, err := c.what(settings, full, old)
	if err != nil {
		return exitError{exitUsage, err}
	}
	c.Overwrite = c.Overwrite || old != nil
	if _, err := c.plan(settings, e(notYet)); err != nil {
		return err
	}
	given, err := c.ask(ctx, settings, what, in, out)
	if err != nil {
		return fmt.Errorf("no consent: %s", consentFailure(err))
	}
	fmt.Fprintln(out, "Consent was given.")
	return c.save(ctx, out, settings, e(given.RefreshToken), c.Verify, true)
}

// notYet stands for the refresh token while there is none.
var notYet = account.NewSecret("none-yet")

// adoptExisting takes the values that the command line leaves out from the account
// with that email, and returns that account, nil if there is none: to authorize an
// account again, its address is enough. planned is the account of the command line;
// with it the file must be valid, so that the person does not consent in vain.
func (c *authorizeCmd) adoptExisting(settings *config.Settings, planned *accountfile.Entry) (*account.Account, error) {
	_, accounts, err := c.load()
	if err != nil { // the account may just lack its refresh token
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

// what returns the consent to ask for, and the endpoints.
func (c *authorizeCmd) what(settings *config.Settings, secret account.Secret, old *account.Account) (what consent.Config, err error) {
	name := strings.ToLower(cmp.Or(c.Provider, accountfile.ProviderOf(c.Email)))
	preset := settings.Providers[name]
	switch {
	case name == "":
		return what, fmt.Errorf("--provider: the domain of %q does not tell it", c.Email)
	case preset == nil:
		return what, fmt.Errorf("--provider: %q is neither gmail nor outlook nor a section under providers in config.json", name)
	case c.ClientID == "":
		return what, errors.New("--client-id: is needed")
	}
	p := *preset
	if c.Tenant != "" {
		var ok bool
		if p, ok = p.ForTenant(c.Tenant); !ok {
			return what, fmt.Errorf("--tenant: %q is no tenant of %s", c.Tenant, name)
		}
		if c.OAuthTokenURL == "" {
			c.OAuthTokenURL = p.TokenURL
		}
	}
	what = consent.Config{ClientID: c.ClientID, ClientSecret: secret, LoginHint: c.Email, Scope: cmp.Or(c.Consent, p.ConsentScope)}
	if old != nil {
		what.Proxy, what.CAFile = old.TokenProxy, old.TokenCAFile
		// A code is exchanged at the provider that issued it. Tokens may be refreshed
		// at another endpoint.
		if c.OAuthTokenURL == "" && old.TokenURL != p.TokenURLFor(old.Email) {
			p = atTokenURL(p, old.TokenURL)
		}
	}
	what.TokenURL = cmp.Or(c.OAuthTokenURL, p.TokenURL)
	what.AuthURL, what.DeviceURL = cmp.Or(c.AuthURL, p.AuthURL), cmp.Or(c.DeviceURL, p.DeviceURL)
	if c.Method == "auto" {
		c.Method = "browser"
		if what.DeviceURL != "" {
			c.Method = "device"
		}
	}
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
func (c *authorizeCmd) ask(ctx context.Context, settings *config.Settings, what consent.Config, in io.Reader, out io.Writer) (*consent.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, errors.New("nobody answered in time"))
	defer cancel()
	z := consent.New(settings.OAuth.Config, what)
	defer z.Close()
	if c.Method == "device" {
		return z.DeviceAuthorize(ctx, func(p consent.Prompt) {
			fmt.Fprintf(out, "On any device, open\n\n  %s\n\nand enter the code %s, as %s, until %s.\n",
				oneLine(p.URL), oneLine(p.Code), c.Email, p.Expiry.Local().Format(time.TimeOnly))
			if p.URLWithCode != "" {
				fmt.Fprintf(out, "This address has the code in it: %s\n", oneLine(p.URLWithCode))
			}
		})
	}
	request, err := z.AuthCode()
	if err != nil {
		return nil, err
	}
	defer request.Close()
	fmt.Fprintf(out, `Open this address in a browser and consent as %s:

  %s

A browser on this machine comes back by itself. One on another machine ends at an address that begins
with %s and shows an error: copy that address from the browser, paste it here and press Enter.
`, c.Email, request.URL(), request.RedirectURL())
	return waitOrPaste(ctx, request, in)
}

// waitOrPaste waits for the browser or a pasted address, and returns the first.
func waitOrPaste(ctx context.Context, request *consent.Request, in io.Reader) (*consent.Result, error) {
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
	pasted := make(chan string, 1)
	go func() { // ends with the input, or with the process
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			if text := strings.TrimSpace(lines.Text()); text != "" {
				pasted <- text
				return
			}
		}
	}()
	select {
	case a := <-came:
		return a.given, a.err
	case text := <-pasted:
		return request.Exchange(ctx, text)
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
	return text
}
