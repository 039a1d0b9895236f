package lab

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/internal/durable"
)

// Built is the flag of every command that runs the proxy. A command embeds it,
// and what follows, in its own flags.
type Built struct {
	Proxy string `placeholder:"FILE" help:"Measure this program instead of building one: that of another version."`
}

// Common are the flags of commands that write tables.
type Common struct {
	Built
	Out string `short:"o" placeholder:"FILE" help:"Write the tables here as well."`
}

// Repeated are the flags of commands that measure the same several times.
type Repeated struct {
	Rounds int           `default:"5" help:"How often all that is measured has its turn; the figures are medians."`
	Time   time.Duration `default:"5s" help:"Length of a run."`
}

// LoadArgs are flags for the load generator that a command passes on.
type LoadArgs struct {
	Args []string `arg:"" optional:"" help:"Flags for the load generator, behind --. Default: 100 connections, 20 messages of 10 KB each, step by step."`
}

// Main is the main function of a command: it parses the command line into
// options, a pointer to a struct, and calls run. It exits with 2 for a wrong
// command line and with 1 if run fails.
func Main(name, description string, options any, run func() error) {
	MainOf(name, description, options, func(string) error { return run() })
}

// MainOf is Main for a command that has others below it; run is told which one
// was chosen.
func MainOf(name, description string, options any, run func(command string) error) {
	parser := kong.Must(options, kong.Name(name), kong.Description(description), kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 110}))
	chosen, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v (see --help)\n", name, err)
		os.Exit(2)
	}
	if err := run(chosen.Command()); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// A Bench is where a command measures: the programs, and a folder that is gone
// afterwards.
type Bench struct {
	Programs Programs
	Dir      string
	folders  int
}

// Bench builds the programs, calls measure, and clears up.
func (c *Built) Bench(measure func(*Bench) error) error {
	dir, err := os.MkdirTemp("", "perf-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs, err := BuildAll(dir, c.Proxy)
	if err != nil {
		return err
	}
	return measure(&Bench{Programs: programs, Dir: dir})
}

// Folder makes a folder of its own for a process.
func (b *Bench) Folder() (string, error) {
	b.folders++
	dir := filepath.Join(b.Dir, fmt.Sprintf("folder-%d", b.folders))
	return dir, os.Mkdir(dir, 0o700)
}

// Write writes the tables of the command of that name to standard output and
// to the file, if one was asked for, below what says how they came about.
// Rounds is 0 where everything was measured once.
func (c *Common) Write(name string, rounds int, tables ...*Table) error {
	write := func(out io.Writer) error { return writeTables(out, name, rounds, tables) }
	if c.Out == "" {
		return write(os.Stdout)
	}
	return durable.WriteNew(c.Out, func(f io.Writer) error { return write(io.MultiWriter(os.Stdout, f)) })
}

// AfterApply finds a file in the way of the tables before anything is measured.
func (c *Common) AfterApply() error { return durable.CheckNew(c.Out) }

func writeTables(out io.Writer, name string, rounds int, tables []*Table) error {
	if _, err := io.WriteString(out, Heading(commandLine(name, os.Args[1:]), rounds)); err != nil {
		return err
	}
	for _, t := range tables {
		if _, err := t.WriteTo(out); err != nil {
			return err
		}
	}
	return nil
}

// commandLine is what to type to a shell to have the command run again.
func commandLine(name string, args []string) string {
	line := "go run ./perf/" + name
	for _, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'`$&|;<>(){}[]*?!#~\\") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line += " " + arg
	}
	return line
}
