// Command xoauth2-proxy relays mail from clients that know PLAIN and LOGIN to
// providers that take only AUTH XOAUTH2.
//
// The room exit has the exit codes.
//
// Package internal/app runs the proxy; this package is its command line.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/exit"
)

const (
	exitFailure  = exit.Failure
	exitUsage    = exit.Usage
	exitCut      = exit.Cut
	exitForecast = exit.Forecast
	exitConfig   = exit.Config
)

// cli is the command line. serve has the flags of the Python predecessor, so that a
// unit file written for it keeps working.
type cli struct {
	Serve     serveCmd     `cmd:"" default:"withargs" help:"Run the proxy (the default command)."`
	Accounts  accountsCmd  `cmd:"" help:"List, add, import, verify and seal accounts."`
	Authorize authorizeCmd `cmd:"" help:"Get a person's consent for an account, in a browser or by a code, and save it."`
	Password  passwordCmd  `cmd:"" help:"Hash a password that clients log in with."`
	RotateKey rotateKeyCmd `cmd:"" help:"Replace the key that seals secrets, in all files and in the running proxy. Can be repeated."`
	Backup    backupCmd    `cmd:"" help:"Copy accounts, token store and state into one file; the proxy may run."`
	Restore   restoreCmd   `cmd:"" help:"Write the files of a backup to where config.json has them; the proxy must not run."`
	Move      moveCmd      `cmd:"" help:"Move accounts, token store, state and key to where another config.json has them; the proxy must not run."`
	Check     checkCmd     `cmd:"" help:"Check the configuration and the accounts, say what is in force, and exit."`
	Report    reportCmd    `cmd:"" help:"Sum up accounting logs, say what is missing in them, or find what became of a message."`
	Forecast  forecastCmd  `cmd:"" help:"Say what will break next, and when: refresh tokens, client secrets, certificates, limits of a day."`
	Nodes     nodesCmd     `cmd:"" help:"List the proxies that share their limits with the running one, their versions, and how they differ."`
	Explain   explainCmd   `cmd:"" help:"Say what a hint of the log, a record or an answer means, and what to do."`
	Demo      demoCmd      `cmd:"" help:"Run the proxy together with a sandbox provider: nothing leaves this machine."`
	Sandbox   sandboxCmd   `cmd:"" help:"Run a sandbox provider: SMTP submission and OAuth2 like Gmail and Microsoft 365, on loopback."`
	Upgrade   upgradeCmd   `cmd:"" help:"Replace the running proxy by a new process of the installed program; no connection is refused."`
	Version   versionCmd   `cmd:"" help:"Say which version this is."`
}

const description = `A relay for mail accounts that only accept OAuth2.

A mail server (PowerMTA, Postfix, Exim, any client) logs in with AUTH PLAIN or LOGIN, the user name being the
address of an account; the proxy has a fresh access token for that account and relays each message over pooled
TLS connections to its provider. 250 means that the provider has the message.

    Try it:      xoauth2-proxy demo
    Check files: xoauth2-proxy check --config config.json --accounts accounts.json
    Run:         xoauth2-proxy --config config.json --accounts accounts.json`

func main() { os.Exit(run(os.Args[1:])) }

// exitError carries the exit code of the process. err may be nil.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// run is main without os.Exit, and returns the exit code.
func run(args []string) (code int) {
	tidyEnvironment()
	args = spelledOut(args)
	parser, err := newParser()
	if err != nil {
		panic(err) // the struct tags are wrong
	}
	defer func() { // --help exits through a panic, see newParser
		if p := recover(); p != nil {
			e, ok := p.(exitError)
			if !ok {
				panic(p)
			}
			code = e.code
		}
	}()
	ctx, err := parser.Parse(args)
	if err != nil {
		if meant := suggestion(parser.Model.Node, args); meant != "" {
			err = fmt.Errorf("%w: did you mean %q?", err, meant)
		}
		fmt.Fprintf(os.Stderr, "xoauth2-proxy: %v (--help lists the flags)\n", err)
		return exitUsage
	}
	err = ctx.Run()
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(os.Stderr, "xoauth2-proxy: %s\n", text)
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return e.code
	}
	return exitFailure
}

// newParser returns the parser of the command line. Its exits are panics with an exitError.
func newParser() (*kong.Kong, error) {
	return kong.New(&cli{},
		kong.Name("xoauth2-proxy"),
		kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ValueFormatter(withDefault),
		kong.Exit(func(c int) { panic(exitError{code: c}) }),
		kong.PostBuild(func(k *kong.Kong) error {
			for _, n := range k.Model.Leaves(true) {
				if c := exit.Find(commandName(n)); c != nil {
					n.Detail = strings.TrimPrefix(n.Detail+"\n\n"+c.Help(), "\n\n")
				}
			}
			return nil
		}))
}

// commandName is the name of a command, without that of the program.
func commandName(n *kong.Node) string {
	return strings.TrimPrefix(n.FullPath(), "xoauth2-proxy ")
}
