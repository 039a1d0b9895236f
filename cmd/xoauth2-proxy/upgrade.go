package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
)

// upgradeCmd has a new process of the program replace the running one.
type upgradeCmd struct {
	files
	socketFlag
	Back    bool          `help:"Go back to the program before the last upgrade."`
	Timeout time.Duration `help:"How long the new process may take until it accepts." default:"1m" placeholder:"TIME"`
}

// Run implements the command.
func (c *upgradeCmd) Run() error {
	settings, err := config.LoadSettings(c.Config, c.Accounts)
	if err != nil {
		return exitError{exitConfig, err}
	}
	proxy, err := c.findProxy(context.Background(), settings)
	if err != nil {
		return err
	}
	defer proxy.Close()
	fmt.Fprintf(os.Stderr, "process %d, version %s, starts the new process ...\n", proxy.Proxy.PID, proxy.Proxy.Version)
	how := url.Values{"timeout": {c.Timeout.String()}}
	if c.Back {
		how.Set("back", "true")
	}
	var done admin.Upgraded
	if err := proxy.Do(context.Background(), http.MethodPost, "/admin/upgrade?"+how.Encode(), nil, &done); err != nil {
		return fmt.Errorf("nothing has changed, process %d goes on: %w", proxy.Proxy.PID, err)
	}
	fmt.Printf("process %d, version %s, accepts in place of process %d, which ends its sessions within %ds\n",
		done.PID, done.Version, done.Replaced, done.EndsSessions)
	return nil
}
