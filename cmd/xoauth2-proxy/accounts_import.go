package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/keyboard"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/oneline"
)

// accountsImportCmd adds accounts from a list.
type accountsImportCmd struct {
	files
	File             string `arg:"" help:"The list; - is standard input."`
	Format           string `help:"auto, batch (the original's text: email,account_id,refresh_token,client_id,timestamp,hostname), csv (with a header) or json." default:"auto" enum:"auto,batch,csv,json" placeholder:"FORMAT"`
	Provider         string `help:"Provider of accounts that name none and whose domain tells none." placeholder:"NAME"`
	ClientSecretFile string `help:"File with the client secret of Gmail accounts that have none. Else XOAUTH2_CLIENT_SECRET." placeholder:"FILE"`
	FirstIP          string `name:"first-ip" help:"ip_address of the first account that has none; each further one gets the next." placeholder:"ADDR"`
	Overwrite        bool   `help:"Replace accounts with the same email; keys that the list does not have stay."`
	Partial          bool   `help:"Import the lines that are right although others are wrong."`
	DryRun           bool   `help:"Check everything, write nothing."`
}

// Run implements the command.
func (c *accountsImportCmd) Run() error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	list, err := c.read(settings)
	if err != nil {
		return err
	}
	var replaced, wrong int
	var good []*accountfile.Entry
	accounts, err := edit(settings, accountfile.EditOptions{Create: true, DryRun: c.DryRun}, func(l *accountfile.List) error {
		for i := range list {
			im := &list[i]
			if im.Err == nil && !c.Overwrite && l.Has(im.Entry.Email()) {
				im.Err = fmt.Errorf("%w (--overwrite replaces it)", accountfile.ErrAccountExists)
			}
			if im.Err != nil {
				wrong++
				fmt.Fprintf(os.Stderr, "%s:%d: %s\n", c.File, im.Line, oneline.Text(strings.ReplaceAll(im.Err.Error(), "\n", "; "), ' '))
				continue
			}
			good = append(good, im.Entry)
		}
		if wrong > 0 && !c.Partial {
			return errNothingImported
		}
		for _, e := range good {
			if err := e.Seal(settings.Secrets.Key); err != nil {
				return err
			}
			if l.Put(e) {
				replaced++
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errNothingImported):
		return fmt.Errorf("%w: %d of %d accounts are wrong (--partial imports the others)", err, wrong, len(list))
	case err != nil:
		return err
	}
	fmt.Printf("%s%d added, %d replaced, %d wrong; %d accounts in %s\n", dryRunPrefix(c.DryRun), len(good)-replaced, replaced, wrong,
		accounts.Len(), settings.AccountsFile)
	if wrong > 0 {
		return exitError{code: exitFailure}
	}
	return nil
}

var errNothingImported = errors.New("nothing was imported")

// read reads the list and checks each account by itself.
func (c *accountsImportCmd) read(settings *config.Settings) ([]accountfile.Imported, error) {
	o := accountfile.ImportOptions{Format: accountfile.ImportFormat(c.Format), Provider: c.Provider}
	var err error
	if c.FirstIP != "" {
		if o.FirstIP, err = netip.ParseAddr(c.FirstIP); err != nil {
			return nil, exitError{exitUsage, fmt.Errorf("--first-ip: %w", err)}
		}
	}
	if o.ClientSecret, err = (keyboard.Secret{Name: "client secret", File: c.ClientSecretFile, Env: "XOAUTH2_CLIENT_SECRET"}).Read(false); err != nil {
		return nil, err
	}
	var data []byte
	if c.File == "-" {
		data, err = io.ReadAll(os.Stdin)
	} else {
		data, err = os.ReadFile(c.File)
	}
	if err != nil {
		return nil, err
	}
	ids, owners := c.existing()
	if c.Overwrite {
		o.Completes = func(email string) bool { return ids[account.FoldLogin(email)] != "" }
	}
	list, err := accountfile.ReadImport(settings.Accounts(), data, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.File, err)
	}
	checkInFile(settings, list, o.Completes, ids, owners)
	return list, nil
}

// existing returns the account_ids in the file by folded email, and the emails by
// account_id. It returns none of an invalid file, which takes no import.
func (c *accountsImportCmd) existing() (ids, owners map[string]string) {
	ids, owners = make(map[string]string), make(map[string]string)
	if _, accounts, err := c.load(); err == nil {
		for _, a := range accounts.All() {
			ids[account.FoldLogin(a.Email)], owners[a.ID] = a.ID, a.Email
		}
	}
	return ids, owners
}

// checkInFile checks the accounts that are valid by themselves together with the
// file, which has ids by email and owners by account_id: each needs an account_id of
// its own, given or made, and keys that it can sign with. The file may complete some.
func checkInFile(settings *config.Settings, list []accountfile.Imported, completes func(email string) bool, ids, owners map[string]string) {
	for i := range list {
		im := &list[i]
		if im.Err != nil {
			continue
		}
		var a *account.Account
		if a, im.Err = accountfile.ReadEntry(settings.Accounts(), im.Entry); im.Err != nil {
			if completes != nil && completes(im.Entry.Email()) {
				im.Err = nil
			}
			continue
		}
		email := account.FoldLogin(a.Email)
		if _, there := ids[email]; there && im.Entry.Get("account_id") == "" {
			continue // it keeps its account_id
		}
		if owner, taken := owners[a.ID]; taken && account.FoldLogin(owner) != email {
			im.Err = fmt.Errorf("account_id: %q is that of %s", a.ID, owner)
			continue
		}
		owners[a.ID] = a.Email
	}
}
