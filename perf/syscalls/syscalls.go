// Package syscalls counts the system calls of the proxy for each message of a load, with
// strace. Nothing else is to be read from such a run: strace stops the proxy at
// every call, so its times are not those of a proxy that is let alone.
package syscalls

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	Messages int `default:"10000" help:"Messages to count over."`
	lab.LoadArgs
}

// Run runs the command.
func (o *Command) Run() error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return errors.New("there is no strace on this machine; on Debian, apt-get install strace")
	}
	return o.Bench(func(b *lab.Bench) { o.measure(b, strace) })
}

func (o *Command) measure(b *lab.Bench, strace string) {
	c := b.NewComparison(0, lab.Accounts, 0)
	proxy := c.AddProxy("proxy", lab.Setup{})
	load := func(messages int) {
		rep := b.Load(append([]string{"--profile", "bench", "--target", proxy.Addr, "--accounts-file", c.Sink.Accounts,
			"--messages", strconv.Itoa(messages)}, o.Args...)...)
		if failed := rep.Total.Failed(); failed > 0 {
			lab.Failf("%d messages failed", failed)
		}
	}
	// The connections to the provider are there before anything is counted.
	load(min(o.Messages, 2000))
	file := filepath.Join(b.Folder(), "strace.txt")
	tracer := b.Start(nil, strace, "-f", "-c", "-o", file, "-p", strconv.Itoa(proxy.PID()))
	awaitTracer(proxy.PID(), tracer)
	load(o.Messages)
	tracer.Stop() // it writes its table then
	o.Write(0, table(lab.Must(parse(string(lab.Must(os.ReadFile(file))))), o.Messages))
}

// awaitTracer waits until all threads of the process are traced, which nothing
// tells.
func awaitTracer(pid int, tracer *lab.Process) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && !tracer.Ended(); time.Sleep(10 * time.Millisecond) {
		if allTraced(pid) {
			return
		}
	}
	lab.Failf("strace cannot follow the proxy; is it allowed to (CAP_SYS_PTRACE, kernel.yama.ptrace_scope)?")
}

// allTraced says whether every thread of the process has a tracer.
func allTraced(pid int) bool {
	files := lab.Must(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid)))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), "\nTracerPid:\t0\n") {
			return false
		}
	}
	return len(files) > 0
}

// A call is one line of strace's table.
type call struct {
	name          string
	calls, errors int
}

// parse reads strace's table.
func parse(text string) ([]call, error) {
	var all []call
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		// % time, seconds, usecs/call, calls, errors if there were any, syscall
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[len(fields)-1] == "total" {
			continue
		}
		n, err := strconv.Atoi(fields[3])
		if err != nil {
			continue // the head, or the rule below it
		}
		c := call{name: fields[len(fields)-1], calls: n}
		if len(fields) == 6 {
			if c.errors, err = strconv.Atoi(fields[4]); err != nil {
				return nil, fmt.Errorf("strace said %q", lines.Text())
			}
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("strace counted nothing: %q", text)
	}
	slices.SortStableFunc(all, func(a, b call) int { return cmp.Compare(b.calls, a.calls) })
	return all, nil
}

// rare is the number of calls a message below which they are put together.
const rare = 0.01

// table renders the calls for each of so many messages.
func table(calls []call, messages int) *lab.Table {
	t := &lab.Table{Title: fmt.Sprintf("System calls for each of %d messages", messages), Header: []string{"call", "a message", "of them in vain"}}
	add := func(name string, calls, errors int) {
		each := func(n int) string { return strconv.FormatFloat(float64(n)/float64(messages), 'f', 2, 64) }
		t.Add(name, each(calls), each(errors))
	}
	var rest, all call
	for _, c := range calls {
		all.calls, all.errors = all.calls+c.calls, all.errors+c.errors
		if float64(c.calls) < rare*float64(messages) {
			rest.calls, rest.errors = rest.calls+c.calls, rest.errors+c.errors
			continue
		}
		add(c.name, c.calls, c.errors)
	}
	add("others", rest.calls, rest.errors)
	add("all", all.calls, all.errors)
	return t
}
