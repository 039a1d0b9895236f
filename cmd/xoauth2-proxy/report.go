package main

import (
	"errors"
	"os"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/reporting"
)

// reportCmd sums up accounting logs.
type reportCmd struct {
	reporting.Options
}

// Run implements the command.
func (c *reportCmd) Run() error {
	err := c.Options.Run(os.Stdout, os.Stderr)
	if errors.Is(err, reporting.ErrUsage) {
		return exitError{exitUsage, err}
	}
	return err
}
