// Syscalls counts the system calls of the proxy for each message of a load, with
// strace. Nothing else is to be read from such a run: strace stops the proxy at
// every call, so its times are not those of a proxy that is let alone.
package main

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

// options is the command line.
type options struct {
	lab.Common
	Messages int `default:"10000" help:"Messages to count over."`
	lab.LoadArgs
}

func main() {
	var o options
	lab.Main("syscalls", "Counts the proxy's system calls for each message, with strace.", &o, func() error { return o.Bench(o.measure) })
}

// measure is the command behind its flags.
func (o *options) measure(b *lab.Bench) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return errors.New("there is no strace on this machine; on Debian, apt-get install strace")
	}
	c, err := b.NewContest(0)
	if err != nil {
		return err
	}
	defer c.Stop()
	proxy, err := c.Enter("proxy", lab.Setup{})
	if err != nil {
		return err
	}
	load := func(messages int) error {
		rep, err := lab.Load(b.Programs.Loadgen, append([]string{"--profile", "bench", "--target", proxy.Addr, "--accounts-file", c.Sink.Accounts,
			"--messages", strconv.Itoa(messages)}, o.Args...)...)
		if err == nil && rep.Total.Failed() > 0 {
			err = fmt.Errorf("%d messages failed", rep.Total.Failed())
		}
		return err
	}
	// The connections to the provider are there before anything is counted.
	if err := load(min(o.Messages, 2000)); err != nil {
		return err
	}
	file := filepath.Join(b.Dir, "strace.txt")
	tracer, err := lab.Start(strace, "-f", "-c", "-o", file, "-p", strconv.Itoa(proxy.PID()))
	if err != nil {
		return err
	}
	err = awaitTracer(proxy.PID(), tracer)
	if err == nil {
		err = load(o.Messages)
	}
	tracer.Stop() // it writes its table then
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	calls, err := parse(string(text))
	if err != nil {
		return err
	}
	return o.Write("syscalls", 0, table(calls, o.Messages))
}

// awaitTracer waits until all threads of the process are traced, which nobody
// tells.
func awaitTracer(pid int, tracer *lab.Process) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		traced, err := allTraced(pid)
		if err != nil || traced {
			return err
		}
		if tracer.Ended() {
			break
		}
	}
	return errors.New("strace cannot follow the proxy; is it allowed to (CAP_SYS_PTRACE, kernel.yama.ptrace_scope)?")
}

// allTraced says whether every thread of the process has a tracer.
func allTraced(pid int) (bool, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return false, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), "\nTracerPid:\t0\n") {
			return false, nil
		}
	}
	return len(files) > 0, nil
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
