package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// accountsVerifyCmd verifies accounts.
type accountsVerifyCmd struct {
	files
	form
	Names    []string      `arg:"" optional:"" name:"name" help:"Emails or account_ids; default: all accounts."`
	Parallel int           `help:"Accounts at one time." default:"16" placeholder:"N"`
	Timeout  time.Duration `help:"Time for each account." default:"60s" placeholder:"TIME"`
	Failed   bool          `help:"Show only accounts that do not work. JSON and CSV never have others."`
}

// verdict is the outcome for one account.
type verdict struct {
	Email     string `json:"email"`
	AccountID string `json:"account_id"`
	failure          // zero if the account works
	err       error
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
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	verdicts, err := c.verify(ctx, settings, chosen)
	if err != nil {
		return err
	}
	return c.show(verdicts)
}

// verify verifies the accounts, several at one time.
func (c *accountsVerifyCmd) verify(ctx context.Context, settings *config.Settings, accounts []*account.Account) ([]verdict, error) {
	kept, err := openTokenStore(settings)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		defer kept.Close()
	}
	cfg, lost := storedTokens(settings, kept), new(rotations)
	if kept == nil {
		cfg.Store = lost
	}
	tokens := oauth.New(cfg, nil, nil)
	defer tokens.Close() // before the store
	v, err := upstream.NewVerifier(upstreamConfig(settings), tokens)
	if err != nil {
		return nil, err
	}
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
			ctx, cancel := context.WithTimeout(ctx, c.Timeout)
			defer cancel()
			verdicts[i] = verdictOn(ctx, v, tokens, a)
			_ = bar.Add(1) // it is only for show
		})
	}
	wg.Wait()
	_ = bar.Finish()
	if n := lost.len(); n > 0 {
		fmt.Fprintf(os.Stderr, "warning: %d accounts were given a new refresh token, which is lost without oauth.token_store; "+
			"if the provider takes the old one back, they must be authorized again\n", n)
	}
	return verdicts, nil
}

// verdictOn verifies one account.
func verdictOn(ctx context.Context, v *upstream.Verifier, tokens *oauth.Manager, a *account.Account) verdict {
	out := verdict{Email: a.Email, AccountID: a.ID}
	if a.IsCatchAll() { // nobody can log in as a whole domain
		out.err = tokens.ForceRefresh(ctx, a)
	} else {
		out.err = v.Verify(ctx, a)
	}
	if out.err != nil {
		out.failure = explain(out.err)
	}
	return out
}

// show writes the verdicts; an account that does not work makes an error.
func (c *accountsVerifyCmd) show(verdicts []verdict) error {
	failed := []verdict{}
	for _, v := range verdicts {
		if v.err != nil {
			failed = append(failed, v)
		}
	}
	header := []string{"email", "account_id", "result", "phase", "message", "hint"}
	shown := verdicts
	if c.Failed || c.JSON || c.CSV {
		shown = failed
	}
	rows := make([][]string, len(shown))
	for i, v := range shown {
		result := "works"
		if v.err != nil {
			result = v.Class
		}
		rows[i] = []string{v.Email, v.AccountID, result, v.Phase, v.Message, v.Hint}
	}
	if err := c.write(os.Stdout, header, rows, failed); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d of %d accounts work\n", len(verdicts)-len(failed), len(verdicts))
	if len(failed) > 0 {
		return exitError{code: exitFailure}
	}
	return nil
}
