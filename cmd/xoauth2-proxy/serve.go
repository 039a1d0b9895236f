package main

import (
	"errors"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/logging"
	"xoauth2-proxy/internal/upgrade"
)

// files has the flags that name the files.
type files struct {
	Config   string `help:"Configuration file. Without it: config.json in the working directory, /etc/xoauth2, /usr/local/etc/xoauth2 or ~/.xoauth2, else the defaults." env:"XOAUTH2_CONFIG" placeholder:"FILE"`
	Accounts string `help:"Accounts file. Without it: accounts.json in the same places." env:"XOAUTH2_ACCOUNTS" placeholder:"FILE"`
}

// serveCmd runs the proxy until a signal ends it.
type serveCmd struct {
	files
	Host              string `help:"Listen on this address (default 127.0.0.1)." env:"XOAUTH2_HOST" placeholder:"ADDR"`
	Port              *int   `help:"Listen on this port (default 2525); 0 picks a free one." env:"XOAUTH2_PORT" placeholder:"PORT"`
	AdminHost         string `help:"Serve metrics and health on this address (default 127.0.0.1)." env:"XOAUTH2_ADMIN_HOST" placeholder:"ADDR"`
	AdminPort         *int   `help:"Serve metrics and health on this port (default 9090); 0 picks a free one." env:"XOAUTH2_ADMIN_PORT" placeholder:"PORT"`
	GlobalConcurrency *int   `help:"Messages with providers at one time, over all accounts (default: no limit)." env:"XOAUTH2_GLOBAL_CONCURRENCY" placeholder:"N"`
	Strict            bool   `help:"Do not start, or reload, if an account is wrong. Without it a wrong account is left out, or stays as it was." env:"XOAUTH2_STRICT"`
	AcceptRemovals    bool   `help:"Let a reload remove most accounts, or all, if the accounts file says so." env:"XOAUTH2_ACCEPT_REMOVALS"`
	DryRun            bool   `help:"Do everything up to the login at the provider, but send nothing; the replies say so." env:"XOAUTH2_DRY_RUN"`

	cache accountfile.Cache // of the accounts, for reloads
}

func (c *serveCmd) overrides() config.Flags {
	return config.Flags{
		Host: c.Host, Port: c.Port, AdminHost: c.AdminHost, AdminPort: c.AdminPort,
		GlobalConcurrency: c.GlobalConcurrency, DryRun: c.DryRun,
	}
}

// Run implements the command.
func (c *serveCmd) Run() error {
	replaces, err := upgrade.Inherited()
	if err != nil {
		return err
	}
	if err = c.run(replaces); err != nil && replaces != nil {
		replaces.Failed(err)
	}
	return err
}

// run runs the proxy in place of the process that has started this one, if replaces is not nil.
func (c *serveCmd) run(replaces *upgrade.New) error {
	program, err := upgrade.This(version)
	if err != nil {
		return err
	}
	p, err := prepare(c.load, &c.cache)
	if err != nil {
		return c.logged(err)
	}
	p.options.Upgrade, p.options.Replaces = upgrade.NewOld(program, p.options.Log), replaces
	p.options.AcceptRemovals = c.AcceptRemovals
	for _, line := range p.report.Lines() {
		p.options.Log.Info("configuration", zap.String("says", line))
	}
	return p.serve(nil)
}

// logged returns err, which keeps the proxy from starting. If config.json can be read and
// wants JSON, the log gets it, and the error has the exit code alone.
func (c *serveCmd) logged(err error) error {
	settings, settingsErr := config.LoadSettings(c.Config, c.Accounts)
	if settingsErr != nil || settings.Log.Format != "json" {
		return err
	}
	var level zap.AtomicLevel
	log, out, logErr := app.NewLogger(settings.Log, &level)
	if logErr != nil {
		return err
	}
	log.Error("cannot start", zap.Strings("problems", strings.Split(err.Error(), "\n")))
	out.Close()
	return told(err, settings)
}

// told returns an error that says only what standard error does not have yet from the log.
func told(err error, s *config.Settings) error {
	if !s.Log.Console {
		return err
	}
	code := exitFailure
	if e, ok := errors.AsType[exitError](err); ok {
		code = e.code
	}
	return exitError{code: code}
}

// load reads the files and applies the command line.
func (c *serveCmd) load() (*config.Settings, *account.Snapshot, *keyfile.Report, error) {
	settings, accounts, report, err := c.readWith(&c.cache)
	if err == nil && c.Strict {
		err = refuseLeftOut(accounts)
	}
	if err != nil {
		return nil, nil, report, err
	}
	if err := settings.Override(c.overrides()); err != nil {
		return nil, nil, report, exitError{exitUsage, err}
	}
	return settings, accounts, report, nil
}

// refuseLeftOut returns what is wrong with entries of the accounts file, nil if nothing is.
func refuseLeftOut(accounts *account.Snapshot) error {
	var problems keyfile.Problems
	for _, e := range accounts.LeftOut() {
		problems.AddJoined(e.Err)
	}
	if err := problems.Err(); err != nil {
		return exitError{exitConfig, err}
	}
	return nil
}

// prepared is a proxy before its start.
type prepared struct {
	options app.Options
	report  *keyfile.Report
	log     *logging.Output
}

// prepare loads the files and makes the log, for a proxy that reloads by load. cache is what
// load uses, or nil.
func prepare(load app.Loader, cache *accountfile.Cache) (*prepared, error) {
	p := &prepared{options: app.Options{Load: load, Cache: cache, Since: time.Now(), Version: version, Revision: revision(),
		Signals: app.CatchSignals()}}
	o := &p.options
	var err error
	if o.Settings, o.Accounts, p.report, err = load(); err != nil {
		return nil, err
	}
	if o.Log, p.log, err = app.NewLogger(o.Settings.Log, &o.Level); err != nil {
		return nil, err
	}
	o.Reopen = p.log.Reopen
	return p, nil
}

// serve runs the proxy until a signal ends it; see app.Run. What ends it is in the log.
func (p *prepared) serve(started func(*app.Proxy)) error {
	defer p.log.Close()
	listening := func(proxy *app.Proxy) {
		if p.log.Flush(); started != nil { // the log comes first in a terminal
			started(proxy)
		}
	}
	err := app.Run(p.options, listening, func() {
		p.log.Close()
		os.Exit(exitCut)
	})
	switch {
	case errors.Is(err, app.ErrCut): // the log has it
		return exitError{code: exitCut}
	case errors.Is(err, app.ErrSecondSignal):
		p.options.Log.Warn(err.Error())
		return told(exitError{exitCut, err}, p.options.Settings)
	case err != nil:
		p.options.Log.Error("cannot start", zap.Error(err))
		return told(err, p.options.Settings)
	}
	return nil
}
