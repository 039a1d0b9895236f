// Package exit has the exit codes of the commands: in the process, in --help and on
// docs/exit-codes.md.
package exit

import (
	"fmt"
	"strings"
)

// The codes.
const (
	OK       = 0
	Failure  = 1
	Usage    = 2
	Cut      = 3
	Forecast = 4
	Config   = 78 // EX_CONFIG of sysexits.h
)

// Codes says what each code means in general.
var Codes = []struct {
	Code  int
	Means string
}{
	{OK, "done, or stopped in order"},
	{Failure, "it could not start, go on or do what it was asked for"},
	{Usage, "the command line is wrong"},
	{Cut, "sessions were cut off: they had not ended by the drain timeout, or a second signal came"},
	{Forecast, "something ends within the time that --within gives"},
	{Config, "a configuration file is wrong"},
}

// Command is one command.
type Command struct {
	Name    string // as in "accounts add"
	Failure string // what Failure means; "": the command has no such end
	more    []int  // the codes above Usage
}

// Commands are all commands, in the order of --help.
var Commands = []Command{
	{"serve", "it could not start or go on", []int{Cut, Config}},
	{"accounts list", "the files cannot be read", []int{Config}},
	{"accounts show", "there is no such account", []int{Config}},
	{"accounts add", "the account was not saved", []int{Config}},
	{"accounts import", "an account of the list is wrong, or nothing was saved", []int{Config}},
	{"accounts remove", "nothing was removed, or the running proxy was not reached", []int{Config}},
	{"accounts verify", "an account does not work", []int{Config}},
	{"accounts seal", "the secrets were not sealed", []int{Config}},
	{"authorize", "there was no consent, or it could not be saved", []int{Config}},
	{"password hash", "there was no password", nil},
	{"rotate-key", "the key was not replaced everywhere: repeat the command", []int{Config}},
	{"backup", "there is no backup", []int{Config}},
	{"restore", "the files were not written", []int{Config}},
	{"move", "the files were not moved", []int{Config}},
	{"check", "the files cannot be read", []int{Config}},
	{"report", "the logs cannot be read, or --find found nothing", nil},
	{"forecast", "the running proxy or the files could not be asked", []int{Forecast, Config}},
	{"nodes", "the running proxy, or the store of the shared limits, could not be asked", []int{Config}},
	{"explain", "the catalogue has nothing like that", nil},
	{"demo", "it could not start or go on", []int{Cut, Config}},
	{"sandbox", "it could not start or go on", []int{Config}},
	{"upgrade", "nothing has changed, the running process goes on", []int{Config}},
	{"version", "", nil},
}

// Find returns the command with that name; nil: there is none.
func Find(name string) *Command {
	for i := range Commands {
		if Commands[i].Name == name {
			return &Commands[i]
		}
	}
	return nil
}

// Codes returns the codes that the command may end with.
func (c *Command) Codes() []int {
	codes := []int{OK}
	if c.Failure != "" {
		codes = append(codes, Failure)
	}
	return append(append(codes, Usage), c.more...)
}

// Means says what a code of the command means.
func (c *Command) Means(code int) string {
	if code == Failure {
		return c.Failure
	}
	for _, known := range Codes {
		if known.Code == code {
			return known.Means
		}
	}
	return ""
}

// Help returns what --help of the command says about its codes.
func (c *Command) Help() string {
	parts := make([]string, 0, len(Codes))
	for _, code := range c.Codes() {
		parts = append(parts, fmt.Sprintf("%d: %s", code, c.Means(code)))
	}
	return "Exit codes: " + strings.Join(parts, "; ") + "."
}
