package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app/internal/succession"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/upgrade"
)

// Loader reads settings and accounts from their files, checks them and applies
// the command line. The report is nil or complete, also on an error.
type Loader func() (*config.Settings, *account.Snapshot, *keyfile.Report, error)

// Options is what a proxy starts with.
type Options struct {
	// Settings and Accounts are in force at the start, until a reload.
	Settings *config.Settings
	Accounts *account.Snapshot
	// Load reads both again for a reload.
	Load Loader
	// Cache is what Load uses for the accounts. Nil: it uses none.
	Cache *accountfile.Cache
	// AcceptRemovals has reloads remove most accounts, or all, if the file says so.
	AcceptRemovals bool
	// Since is a time before the files were read for Settings and Accounts.
	Since time.Time
	// Log takes all log lines. Level is the level of Log; reloads and the admin API
	// change it.
	Log   *zap.Logger
	Level zap.AtomicLevel
	// Reopen opens the files anew that the log goes to. Nil: there are none.
	Reopen func() error
	// Signals has the signals since the beginning of the process. Nil: a proxy catches
	// them from Start until it has ended.
	Signals *Signals
	// Upgrade replaces the process by another one. Nil: no one can ask for it.
	Upgrade *upgrade.Old
	// Replaces is what the process has of the one that it replaces. Nil: it replaces none.
	Replaces *upgrade.New
	// Ended ends when the process is told to end, also during Start. Nil: it is not told.
	Ended context.Context
	// Version and Revision of the program, for the admin API and the metrics.
	Version, Revision string
}

// succession has what a proxy needs to replace another process, or to be replaced by one.
func (o *Options) succession() succession.Config {
	c := succession.Config{
		Settings: o.Settings, Version: o.Version, Upgrade: o.Upgrade, Replaces: o.Replaces, Ended: o.Ended, Log: o.Log,
	}
	if o.Signals != nil {
		c.End = o.Signals.end
	}
	return c
}
