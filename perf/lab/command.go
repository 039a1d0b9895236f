package lab

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/internal/durable"
)

// Built is the flag of every command that runs the proxy. A command embeds it,
// and what follows, in its own flags.
type Built struct {
	Proxy string `placeholder:"FILE" help:"Measure this program instead of building one: another version, for example."`
}

// Common are the flags of commands that write tables.
type Common struct {
	Built
	Out string `short:"o" placeholder:"FILE" help:"Write the tables here as well."`
}

// Repeated are the flags of commands that measure the same several times.
type Repeated struct {
	Rounds int           `default:"5" help:"Rounds, each of which measures everything once; the figures are medians."`
	Time   time.Duration `default:"5s" help:"Length of a run."`
}

// Quick is the flag of commands that take long.
type Quick struct {
	Quick bool `help:"Two rounds of two seconds, to check that the program works."`
}

// Shorten makes the rounds short if that is asked for.
func (q Quick) Shorten(r *Repeated) {
	if q.Quick {
		r.Rounds, r.Time = 2, 2*time.Second
	}
}

// LoadArgs are flags for the load generator that a command passes on.
type LoadArgs struct {
	Args []string `arg:"" optional:"" help:"Flags for the load generator, after --. Default: 100 connections, 20 messages of 10 KB each, step by step."`
}

// Programs are the built programs.
type Programs struct{ Proxy, Loadgen, Perf string }

// A Bench is where a command measures: the programs, and a folder and processes
// that are gone afterwards.
type Bench struct {
	Programs
	dir     string
	folders int
	ends    []func()
}

// NewBench builds the programs that are not there already into dir, which is the
// caller's.
func NewBench(dir string, have Programs) *Bench {
	for pkg, program := range map[string]*string{"cmd/xoauth2-proxy": &have.Proxy, "loadgen": &have.Loadgen, "perf": &have.Perf} {
		if *program == "" {
			*program = build(dir, pkg)
		}
	}
	return &Bench{dir: dir, Programs: have}
}

// Bench builds the programs, calls measure, and clears up.
func (c *Built) Bench(measure func(*Bench)) error {
	return Try(func() {
		dir := Must(os.MkdirTemp("", "perf-"))
		defer os.RemoveAll(dir)
		b := NewBench(dir, Programs{Proxy: c.Proxy, Perf: Must(os.Executable())})
		defer b.Close()
		measure(b)
	})
}

// Defer has f called at the end, before what was deferred earlier.
func (b *Bench) Defer(f func()) { b.ends = append(b.ends, f) }

// Close ends all processes.
func (b *Bench) Close() {
	for _, end := range slices.Backward(b.ends) {
		end()
	}
	b.ends = nil
}

// Folder makes a folder of its own for a process.
func (b *Bench) Folder() string {
	b.folders++
	dir := filepath.Join(b.dir, fmt.Sprint(b.folders))
	Check(os.Mkdir(dir, 0o700))
	return dir
}

// AfterApply finds a file in the way of the tables before anything is measured.
func (c *Common) AfterApply() error { return durable.CheckNew(c.Out) }

// Write writes the tables to standard output and to the file, if one was asked for,
// below what says how they came about. Rounds is 0 where everything was measured
// once.
func (c *Common) Write(rounds int, tables ...*Table) {
	write := func(out io.Writer) error {
		text := Heading(commandLine(os.Args[1:]), rounds)
		for _, t := range tables {
			text += t.String()
		}
		_, err := io.WriteString(out, text)
		return err
	}
	if c.Out == "" {
		Check(write(os.Stdout))
		return
	}
	Check(durable.WriteNew(c.Out, func(f io.Writer) error { return write(io.MultiWriter(os.Stdout, f)) }))
}

// commandLine is what to type to a shell to have the command run again.
func commandLine(args []string) string {
	line := "go run ./perf"
	for _, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'`$&|;<>(){}[]*?!#~\\") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line += " " + arg
	}
	return line
}
