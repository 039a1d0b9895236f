package main

import (
	"fmt"
	"os"
)

// checkCmd validates the files and says what they mean.
type checkCmd struct {
	files
}

// Run implements the command.
func (c *checkCmd) Run() error {
	settings, accounts, report, err := c.read()
	if err != nil {
		return err
	}
	if _, err := report.WriteTo(os.Stdout); err != nil {
		return err
	}
	for _, l := range settings.Listeners {
		fmt.Printf("clients connect to %s\n", l.Address)
	}
	fmt.Printf("metrics and health on %s\n", settings.Admin.Address)
	fmt.Printf("%d accounts: the files are fine\n", accounts.Len())
	return nil
}
