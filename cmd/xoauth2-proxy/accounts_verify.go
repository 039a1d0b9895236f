package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/keeping"
	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/adminclient"
	"xoauth2-proxy/internal/app"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/internal/verify"
	"xoauth2-proxy/oauth"
)

// accountsVerifyCmd verifies accounts.
type accountsVerifyCmd struct {
	files
	table.Form
	socketFlag
	Names    []string      `arg:"" optional:"" name:"name" help:"Emails or account_ids; default: all accounts."`
	Parallel int           `help:"Accounts at one time." default:"16" placeholder:"N"`
	Timeout  time.Duration `help:"Time for each account." default:"60s" placeholder:"TIME"`
	Failed   bool          `help:"Show only accounts that do not work."`
}

// endSignals are the signals that end a command.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// verdict is the outcome for one account.
type verdict struct {
	Email          string `json:"email"`
	AccountID      string `json:"account_id"`
	Works          bool   `json:"works"`
	verify.Failure        // zero if the account works
	err            error
}

// Run implements the command.
func (c *accountsVerifyCmd) Run() error {
	settings, accounts, err := c.load()
	if err != nil {
		return err
	}
	chosen := accounts.All()
	if len(c.Names) > 0 {
		chosen = nil
		for _, name := range c.Names {
			a, err := find(accounts, name)
			if err != nil {
				return err
			}
			chosen = append(chosen, a)
		}
	}
	// A signal must not end the process between a provider's answer and the disk.
	ctx, cancel := signal.NotifyContext(context.Background(), endSignals...)
	defer cancel()
	verdicts, err := c.verify(ctx, settings, chosen, accounts.All())
	if verdicts == nil {
		return err
	}
	if len(c.Names) == 0 {
		for _, e := range accounts.LeftOut() {
			verdicts = append(verdicts, verdict{Email: e.Email, AccountID: e.ID, err: e.Err,
				Failure: verify.Failure{Phase: "file", Class: "wrong_entry", Message: strings.ReplaceAll(e.Err.Error(), "\n", "; "), Permanent: true}})
		}
	}
	shown := c.show(verdicts)
	if err != nil {
		return err
	}
	return shown
}

// verify verifies the accounts, which are of all. If a proxy runs for them, verify asks it:
// the proxy has their newest refresh tokens, and saves new ones.
func (c *accountsVerifyCmd) verify(ctx context.Context, settings *config.Settings, accounts, all []*account.Account) ([]verdict, error) {
	running, err := c.findProxy(ctx, settings)
	switch {
	case err == nil:
		defer running.Close()
		fmt.Fprintf(os.Stderr, "asking the running proxy (pid %d) at %s\n", running.Proxy.PID, running.Path)
		return c.each(ctx, accounts, func(ctx context.Context, a *account.Account) verdict { return c.ask(ctx, running, a) }), nil
	case !c.mayBeAlone(err):
		return nil, err
	}
	verdicts, local := c.verifyAlone(ctx, settings, accounts, all)
	if errors.Is(local, tokenstore.ErrInUse) {
		local = fmt.Errorf("%w (%w)", local, err)
	}
	return verdicts, local
}

// ask has the running proxy verify one account.
func (c *accountsVerifyCmd) ask(ctx context.Context, running *adminclient.Client, a *account.Account) verdict {
	seconds := max(1, int((c.Timeout+time.Second-1)/time.Second))
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+askGrace)
	defer cancel()
	var done admin.Verified
	err := running.Do(ctx, http.MethodPost, "/admin/accounts/verify", map[string]any{"email": a.Email, "timeout_seconds": seconds}, &done)
	out := verdict{Email: a.Email, AccountID: a.ID}
	switch {
	case err != nil:
		out.err, out.Failure = err, verify.Failure{Class: "failed", Message: "the running proxy: " + err.Error()}
	case !done.Works:
		out.err = errors.New(done.Message)
		out.Failure = verify.Failure{Phase: done.Phase, Class: done.Class, Message: done.Message, Hint: done.Hint, HintID: done.HintID, Permanent: done.Permanent}
	}
	return out
}

// askGrace is added to the time for an account in the wait for the answer.
const askGrace = 10 * time.Second

// verifyAlone verifies the accounts without a running proxy. New refresh tokens go to
// the token store if there is one, else into the accounts file.
func (c *accountsVerifyCmd) verifyAlone(ctx context.Context, settings *config.Settings, accounts, all []*account.Account) ([]verdict, error) {
	twins := verify.WithTwins(accounts, all)
	kept, err := app.OpenTokenStore(settings)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		defer kept.Close()
		verdicts, err := c.verifyWith(ctx, settings, app.TokenConfig(settings, kept), accounts, twins)
		return verdicts, errors.Join(err, kept.Failing()) // a refresh token that a provider replaced is lost
	}
	saver, tokens := verify.NewSaver(settings.Accounts(), twins), app.TokenConfig(settings, nil)
	if err := saver.Rehearse(); err != nil {
		return nil, fileError(fmt.Errorf("nothing was verified: a refresh token that a provider replaces could not be saved: %w\n"+
			"Set oauth.token_store in config.json, or let this command change the accounts file", err))
	}
	tokens.Store = saver
	verdicts, err := c.verifyWith(ctx, settings, tokens, accounts, twins)
	ctx, cancel := signal.NotifyContext(context.Background(), endSignals...) // the first one may have ended the verification
	defer cancel()
	return verdicts, errors.Join(err, keeping.Settle(ctx, os.Stderr, settings, saver))
}

// verifyWith verifies the accounts, which are among twins, with those tokens. When it returns, no request
// for a token runs.
func (c *accountsVerifyCmd) verifyWith(ctx context.Context, settings *config.Settings, tokens oauth.Config, accounts, twins []*account.Account) ([]verdict, error) {
	v, err := verify.New(tokens, settings.Upstream.Config, twins)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return c.each(ctx, accounts, func(ctx context.Context, a *account.Account) verdict {
		ctx, cancel := context.WithTimeout(ctx, c.Timeout)
		defer cancel()
		return verdictOn(ctx, v, a)
	}), nil
}

// each calls check for the accounts, several at a time, and shows the progress.
func (c *accountsVerifyCmd) each(ctx context.Context, accounts []*account.Account, check func(context.Context, *account.Account) verdict) []verdict {
	bar := progressbar.DefaultSilent(int64(len(accounts)))
	if term.IsTerminal(int(os.Stderr.Fd())) {
		bar = progressbar.NewOptions(len(accounts), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription("verifying"),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
	}
	verdicts := make([]verdict, len(accounts))
	slots := make(chan struct{}, max(c.Parallel, 1))
	var wg sync.WaitGroup
	for i, a := range accounts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			verdicts[i] = check(ctx, a)
			_ = bar.Add(1) // errors of the bar do not matter
		})
	}
	wg.Wait()
	_ = bar.Finish()
	return verdicts
}

// verdictOn verifies one account.
func verdictOn(ctx context.Context, v *verify.Verifier, a *account.Account) verdict {
	out := verdict{Email: a.Email, AccountID: a.ID}
	if out.err = v.Verify(ctx, a); out.err != nil {
		out.Failure = verify.Explain(out.err)
	}
	return out
}

// show writes the verdicts. It returns an error if an account does not work.
func (c *accountsVerifyCmd) show(verdicts []verdict) error {
	failed := []verdict{}
	for i := range verdicts {
		v := &verdicts[i]
		if v.Works = v.err == nil; !v.Works {
			failed = append(failed, *v)
		}
	}
	header := []string{"email", "account_id", "result", "phase", "message", "hint", "hint_id"}
	shown := verdicts
	if c.Failed {
		shown = failed
	}
	rows := make([][]string, len(shown))
	for i, v := range shown {
		result := "works"
		if v.err != nil {
			result = v.Class
		}
		rows[i] = []string{v.Email, v.AccountID, result, v.Phase, v.Message, v.Hint, v.HintID}
	}
	if err := c.Write(os.Stdout, header, rows, shown); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d of %d accounts work\n", len(verdicts)-len(failed), len(verdicts))
	if len(failed) > 0 {
		return exitError{code: exitFailure}
	}
	return nil
}
