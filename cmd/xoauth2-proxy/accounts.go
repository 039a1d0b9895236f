package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/keyboard"
	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/oneline"
	"xoauth2-proxy/internal/seal"
)

// accountsCmd has the commands for the accounts file. A running proxy notices their
// changes.
type accountsCmd struct {
	List   accountsListCmd   `cmd:"" help:"List the accounts."`
	Show   accountsShowCmd   `cmd:"" help:"Show one account and what is in force for it."`
	Add    accountsAddCmd    `cmd:"" help:"Add an account."`
	Import accountsImportCmd `cmd:"" help:"Add accounts from a list: the original's batch text, CSV or JSON."`
	Remove accountsRemoveCmd `cmd:"" help:"Take accounts out."`
	Verify accountsVerifyCmd `cmd:"" help:"Get a token for each account and log in at its provider; nothing is sent."`
	Seal   accountsSealCmd   `cmd:"" help:"Encrypt the secrets in the accounts file."`
}

// settings reads config.json alone: the command may be there to repair the accounts.
func (f *files) settings() (*config.Settings, error) { return f.settingsWith(nil) }

// settingsWith is settings with keys, which may be nil, in the place of a key file that
// does not exist yet.
func (f *files) settingsWith(keys *seal.Keyring) (*config.Settings, error) {
	s, err := config.LoadSettingsWith(keys, f.Config, f.Accounts)
	if err != nil {
		return nil, exitError{exitConfig, err}
	}
	return s, nil
}

// lenientSettings is settings for a command that needs no secrets and writes none: they may
// be in the environment of the service alone.
func (f *files) lenientSettings() (*config.Settings, error) {
	s, err := config.LoadSettingsLenient(f.Config, f.Accounts)
	if err != nil {
		return nil, exitError{exitConfig, err}
	}
	return s, nil
}

// lenientAccounts reads both files for such a command. It warns about wrong entries.
func (f *files) lenientAccounts() (*account.Snapshot, error) {
	_, accounts, err := config.LoadLenient(f.Config, f.Accounts)
	if err != nil {
		return nil, exitError{exitConfig, err}
	}
	warnLeftOut(accounts)
	return accounts, nil
}

// read reads and checks both files. The report is never nil.
func (f *files) read() (*config.Settings, *account.Snapshot, *keyfile.Report, error) {
	return f.readWith(nil)
}

// readWith is read with a cache of the accounts, for a program that reads again and
// again.
func (f *files) readWith(m *accountfile.Cache) (*config.Settings, *account.Snapshot, *keyfile.Report, error) {
	settings, accounts, report, err := config.Load(f.Config, f.Accounts, m)
	if err != nil {
		return nil, nil, report, exitError{exitConfig, err}
	}
	return settings, accounts, report, nil
}

// load is read without the report. It warns about wrong entries.
func (f *files) load() (*config.Settings, *account.Snapshot, error) {
	settings, accounts, _, err := f.read()
	if err == nil {
		warnLeftOut(accounts)
	}
	return settings, accounts, err
}

// warnLeftOut names the wrong entries of the accounts file.
func warnLeftOut(accounts *account.Snapshot) {
	for _, e := range accounts.LeftOut() {
		fmt.Fprintf(os.Stderr, "left out: %v\n", e.Err)
	}
}

// edit changes the accounts file for a command. It makes no entry wrong; wrong ones that
// are there stay.
func edit(s *config.Settings, how accountfile.EditOptions, change func(*accountfile.List) error) (*account.Snapshot, error) {
	accounts, err := accountfile.Edit(s.Accounts(), how, change)
	if err != nil {
		return nil, fileError(err)
	}
	return accounts, nil
}

// find returns the account with that email or account_id.
func find(accounts *account.Snapshot, name string) (*account.Account, error) {
	folded := account.FoldLogin(name)
	for _, a := range accounts.All() {
		if account.FoldLogin(a.Email) == folded {
			return a, nil
		}
	}
	if a, ok := accounts.ByID(name); ok {
		return a, nil
	}
	return nil, fmt.Errorf("there is no account %q", name)
}

// accountsShowCmd shows one account.
type accountsShowCmd struct {
	files
	Name string `arg:"" help:"Email or account_id."`
	JSON bool   `name:"json" help:"As JSON."`
}

// field is a key of an account with its value.
type field struct{ key, value string }

// property is a key of an account with what is in force for it: in words, and as a value
// in JSON.
type property struct {
	key, text string
	value     any
}

// Run implements the command.
func (c *accountsShowCmd) Run() error {
	accounts, err := c.lenientAccounts()
	if err != nil {
		return err
	}
	a, err := find(accounts, c.Name)
	if err != nil {
		return err
	}
	properties := describe(a)
	shown := make(map[string]any, len(properties))
	rows := make([][]string, len(properties))
	for i, p := range properties {
		shown[p.key], rows[i] = p.value, []string{p.key, p.text}
	}
	return table.Form{JSON: c.JSON}.Write(os.Stdout, []string{"key", "in force"}, rows, shown)
}

// describe lists the values in force for an account, without its secrets. In JSON a limit
// is a number, 0 for none; a secret is true if it is set; what is not set is "".
func describe(a *account.Account) (list []property) {
	text := func(key, value string) { list = append(list, property{key, value, value}) }
	secret := func(key string, s account.Secret) {
		word := "set"
		if s.IsZero() {
			word = "none"
		}
		list = append(list, property{key, word, !s.IsZero()})
	}
	limit := func(key string, n int64) {
		word := "no limit"
		if n != 0 {
			word = fmt.Sprint(n)
		}
		list = append(list, property{key, word, n})
	}
	source := property{"ip_address", "the system's choice", ""}
	if a.SourceIP.IsValid() {
		source.text, source.value = a.SourceIP.String(), a.SourceIP.String()
	}
	l := &a.Limits
	text("email", a.Email)
	text("account_id", a.ID)
	text("provider", a.Provider)
	text("flow", string(a.TokenFlow()))
	text("client_id", a.ClientID)
	secret("client_secret", a.ClientSecret)
	secret("refresh_token", a.RefreshToken)
	text("oauth_token_url", a.TokenURL)
	text("scope", a.Scope)
	text("oauth_endpoint", a.SMTP.String())
	text("tls", string(a.SMTP.TLS))
	text("auth_identity", a.Identity())
	list = append(list, source)
	text("vmta_name", a.VMTA)
	list = append(list, property{"senders", cmp.Or(strings.Join(a.Senders, ", "), "every address"), append([]string{}, a.Senders...)})
	text("refresh_margin", a.RefreshMargin.String())
	limit("max_connections_per_account", int64(l.MaxConnections))
	limit("max_messages_per_connection", int64(l.MaxMessagesPerConnection))
	text("connection_max_age", l.ConnectionMaxAge.String())
	text("connection_idle_timeout", l.IdleTimeout.String())
	limit("max_recipients", int64(l.MaxRecipients))
	limit("messages_per_minute", int64(l.MessagesPerMinute))
	limit("messages_per_hour", int64(l.MessagesPerHour))
	limit("messages_per_day", int64(l.MessagesPerDay))
	limit("recipients_per_day", int64(l.RecipientsPerDay))
	limit("logins_per_minute", int64(l.LoginsPerMinute))
	limit("max_message_size", l.MaxMessageSize)
	return list
}

// accountsRemoveCmd removes accounts.
type accountsRemoveCmd struct {
	files
	Names []string `arg:"" optional:"" name:"name" help:"Emails or account_ids."`
	socketFlag
	All    bool `help:"All accounts; without a terminal it needs --yes."`
	Yes    bool `help:"Do not ask; without it, a person at a terminal is asked."`
	DryRun bool `help:"Only say what would happen."`
}

// Run implements the command.
func (c *accountsRemoveCmd) Run() error {
	switch {
	case c.All == (len(c.Names) > 0):
		return exitError{exitUsage, errors.New("name accounts, or say --all")}
	case c.All && !c.Yes && !c.DryRun && !keyboard.AtTerminal():
		return exitError{exitUsage, errors.New("--all takes every account out: say --yes if that is meant")}
	}
	settings, err := c.lenientSettings()
	if err != nil {
		return err
	}
	if !c.Yes && !c.DryRun && keyboard.AtTerminal() {
		what := strings.Join(c.Names, ", ")
		if c.All {
			what = "all accounts"
		}
		if !keyboard.Confirmed(fmt.Sprintf("Take %s out of %s?", oneline.Text(what, ' '), settings.AccountsFile)) {
			return errors.New("nothing was removed")
		}
	}
	removed := len(c.Names)
	accounts, err := edit(settings, accountfile.EditOptions{DryRun: c.DryRun}, func(l *accountfile.List) error {
		if c.All {
			removed = l.Len()
			l.Clear()
			return nil
		}
		var errs []error
		for _, name := range c.Names {
			errs = append(errs, l.Remove(name))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s%d removed, %d left\n", dryRunPrefix(c.DryRun), removed, accounts.Len())
	if c.DryRun || accounts.Len() > 0 && removed <= fewRemoved {
		return nil
	}
	return c.accept(settings)
}

// fewRemoved is how many accounts a running proxy takes out of force at any reload.
const fewRemoved = 10

// accept has the running proxy take the removal, if there is one: of itself it refuses a
// file that lacks most of its accounts.
func (c *accountsRemoveCmd) accept(settings *config.Settings) error {
	ctx, cancel := context.WithTimeout(context.Background(), askGrace)
	defer cancel()
	running, err := c.findProxy(ctx, settings)
	switch {
	case err != nil && c.mayBeAlone(err):
		return nil
	case err != nil:
		return fmt.Errorf("the accounts are removed from the file; the running proxy cannot be asked to reload: %w", err)
	}
	defer running.Close()
	if err := running.Do(ctx, http.MethodPost, "/admin/reload?accept_removals=true", nil, new(admin.Reloaded)); err != nil {
		return fmt.Errorf("the accounts are removed from the file; the running proxy does not reload: %w", err)
	}
	return nil
}

// dryRunPrefix marks the result of a dry run.
func dryRunPrefix(dryRun bool) string {
	if dryRun {
		return "dry run: "
	}
	return ""
}

// fileError gives an error in a file its exit code.
func fileError(err error) error {
	if _, ok := errors.AsType[exitError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*keyfile.Problem](err); ok {
		return exitError{exitConfig, err}
	}
	return err
}
