package main

import (
	"fmt"
	"os"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app"
	"xoauth2-proxy/internal/checkup"
	"xoauth2-proxy/internal/config"
)

// checkCmd checks the files and this host, and reports the settings in force.
type checkCmd struct {
	files
	Strict bool `help:"Fail on warnings too."`
}

// Run implements the command.
func (c *checkCmd) Run() error {
	settings, accounts, report, err := c.read()
	if err != nil {
		return err
	}
	findings := checkup.All(settings, accounts, report)
	for _, f := range findings {
		fmt.Println(f)
	}
	if err := app.CheckTokenStore(settings); err != nil {
		return exitError{exitConfig, err}
	}
	for _, l := range settings.Server.Listeners {
		fmt.Printf("clients connect to %s\n", l.Address)
	}
	fmt.Printf("metrics and health on %s\n", settings.Admin.Address)
	for _, line := range adminLines(settings) {
		fmt.Println(line)
	}
	fmt.Println(savingLine(settings))
	errs, warnings := findings.Count(checkup.Error), findings.Count(checkup.Warning)
	fmt.Printf("%d errors, %d warnings, %d notes\n", errs, warnings, findings.Count(checkup.Note))
	switch {
	case errs > 0:
		return exitError{exitConfig, fmt.Errorf("%d accounts: there are errors", accounts.Len())}
	case c.Strict && warnings > 0:
		return exitError{exitConfig, fmt.Errorf("%d accounts: there are warnings", accounts.Len())}
	}
	fmt.Printf("%d accounts: the files are fine\n", accounts.Len())
	return nil
}

// savingLine tells whether the user of this command can save changes of the accounts. It
// rehearses one.
func savingLine(s *config.Settings) string {
	_, err := accountfile.Edit(s.Accounts(), accountfile.EditOptions{DryRun: true, Rehearse: true}, func(*accountfile.List) error { return nil })
	if err != nil {
		return fmt.Sprintf("warning: user %d cannot save changes of accounts, by a command or as the proxy by the admin API: %v", os.Geteuid(), err)
	}
	return fmt.Sprintf("user %d can save changes of accounts in %s; so must the proxy's user for the admin API", os.Geteuid(), s.AccountsFile)
}

// adminLines tells how changes reach a proxy with those settings.
func adminLines(s *config.Settings) (lines []string) {
	paths, _ := app.AdminSockets(s)
	if len(paths) > 0 {
		lines = append(lines, "admin socket on "+paths[0])
	}
	if s.Admin.Token.IsZero() {
		lines = append(lines, "admin.token is not set: the admin API takes changes, dry runs and verification on the admin socket only, "+
			"and answers 401 on "+s.Admin.Address)
	}
	return lines
}
