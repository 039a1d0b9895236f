package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/app"
)

// accountsListCmd lists the accounts.
type accountsListCmd struct {
	files
	table.Form
	socketFlag
	State    string `help:"Ask the running proxy for the accounts in these states: active, throttled, failing, quota, held, refused, unknown, draining, paused, with commas between them; broken: those that do not send as they should; all." placeholder:"STATES"`
	Provider string `help:"Only the accounts of this provider." placeholder:"NAME"`
}

// Run implements the command.
func (c *accountsListCmd) Run() error {
	if c.State != "" {
		return c.listStates()
	}
	accounts, err := c.lenientAccounts()
	if err != nil {
		return err
	}
	all := []admin.Account{}
	var rows [][]string
	for _, a := range accounts.All() {
		p := app.PublicAccount(a)
		if c.Provider != "" && !strings.EqualFold(c.Provider, p.Provider) {
			continue
		}
		all = append(all, p)
		rows = append(rows, []string{p.Email, p.AccountID, p.Provider, p.OAuthEndpoint, p.IPAddress, p.VMTAName})
	}
	return c.Write(os.Stdout, []string{"email", "account_id", "provider", "oauth_endpoint", "ip_address", "vmta_name"}, rows, all)
}

// listStates lists accounts by what the running proxy knows of them.
func (c *accountsListCmd) listStates() error {
	states := strings.TrimSpace(c.State)
	if strings.EqualFold(states, "all") {
		states = ""
	}
	if _, err := admin.WantedStates(states); err != nil {
		return exitError{exitUsage, err}
	}
	settings, err := c.lenientSettings()
	if err != nil {
		return err
	}
	ctx := context.Background()
	running, err := c.findProxy(ctx, settings)
	if err != nil {
		return fmt.Errorf("%w: only a running proxy knows the states of accounts", err)
	}
	defer running.Close()
	var answer struct {
		Accounts []admin.Listed `json:"accounts"`
	}
	query := url.Values{"state": {states}, "provider": {c.Provider}}
	if err := running.Do(ctx, http.MethodGet, "/admin/accounts?"+query.Encode(), nil, &answer); err != nil {
		return fmt.Errorf("the running proxy: %w", err)
	}
	rows := make([][]string, len(answer.Accounts))
	for i, a := range answer.Accounts {
		until := ""
		if a.Until != nil {
			until = a.Until.Format(time.RFC3339)
		}
		rows[i] = []string{a.Email, a.AccountID, a.State, until, a.Detail}
	}
	return c.Write(os.Stdout, []string{"email", "account_id", "state", "until", "detail"}, rows, answer.Accounts)
}
