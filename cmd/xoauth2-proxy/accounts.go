package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
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
func (f *files) settings() (*config.Settings, error) {
	s, err := config.LoadSettings(f.Config, f.Accounts)
	if err != nil {
		return nil, exitError{exitConfig, err}
	}
	return s, nil
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

// Run implements the command.
func (c *accountsShowCmd) Run() error {
	_, accounts, err := c.load()
	if err != nil {
		return err
	}
	a, err := find(accounts, c.Name)
	if err != nil {
		return err
	}
	fields := describe(a)
	if c.JSON {
		shown := make(map[string]string, len(fields))
		for _, f := range fields {
			shown[f.key] = f.value
		}
		return form{JSON: true}.write(os.Stdout, nil, nil, shown)
	}
	rows := make([][]string, len(fields))
	for i, f := range fields {
		rows[i] = []string{f.key, f.value}
	}
	return writeTable(os.Stdout, columnsOf(os.Stdout), []string{"key", "in force"}, rows)
}

// describe lists the values in force for an account, without its secrets.
func describe(a *account.Account) []field {
	source := "the system's choice"
	if a.SourceIP.IsValid() {
		source = a.SourceIP.String()
	}
	l := &a.Limits
	limit := func(n int) string {
		if n == 0 {
			return "no limit"
		}
		return fmt.Sprint(n)
	}
	return []field{
		{"email", a.Email}, {"account_id", a.ID}, {"provider", a.Provider}, {"flow", string(a.TokenFlow())},
		{"client_id", a.ClientID}, {"client_secret", present(a.ClientSecret)}, {"refresh_token", present(a.RefreshToken)},
		{"oauth_token_url", a.TokenURL}, {"scope", a.Scope}, {"oauth_endpoint", a.SMTP.String()}, {"tls", string(a.SMTP.TLS)},
		{"auth_identity", a.Identity()}, {"ip_address", source}, {"vmta_name", a.VMTA},
		{"refresh_margin", a.RefreshMargin.String()},
		{"max_connections_per_account", limit(l.MaxConnections)},
		{"max_messages_per_connection", limit(l.MaxMessagesPerConnection)},
		{"connection_max_age", l.ConnectionMaxAge.String()}, {"connection_idle_timeout", l.IdleTimeout.String()},
		{"max_recipients", limit(l.MaxRecipients)}, {"messages_per_minute", limit(l.MessagesPerMinute)},
		{"messages_per_hour", limit(l.MessagesPerHour)}, {"messages_per_day", limit(l.MessagesPerDay)},
		{"recipients_per_day", limit(l.RecipientsPerDay)}, {"logins_per_minute", limit(l.LoginsPerMinute)},
		{"max_message_size", limit(int(l.MaxMessageSize))},
	}
}

// present tells whether there is a secret.
func present(s account.Secret) string {
	if s.IsZero() {
		return "none"
	}
	return "set"
}

// accountsRemoveCmd removes accounts.
type accountsRemoveCmd struct {
	files
	Names []string `arg:"" optional:"" name:"name" help:"Emails or account_ids."`
	socketFlag
	All    bool `help:"All accounts; needs --yes."`
	Yes    bool `help:"Do not ask."`
	DryRun bool `help:"Only say what would happen."`
}

// Run implements the command.
func (c *accountsRemoveCmd) Run() error {
	switch {
	case c.All == (len(c.Names) > 0):
		return exitError{exitUsage, errors.New("name accounts, or say --all")}
	case c.All && !c.Yes && !c.DryRun:
		return exitError{exitUsage, errors.New("--all takes every account out: say --yes if that is meant")}
	}
	settings, err := c.settings()
	if err != nil {
		return err
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
