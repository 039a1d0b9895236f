package main

import (
	"fmt"

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
	for _, l := range settings.Server.Listeners {
		fmt.Printf("clients connect to %s\n", l.Address)
	}
	fmt.Printf("metrics and health on %s\n", settings.Admin.Address)
	for _, line := range adminLines(settings) {
		fmt.Println(line)
	}
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
