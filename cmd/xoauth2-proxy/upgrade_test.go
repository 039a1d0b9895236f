package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/upgrade"
)

// installed is a proxy that was started by the path of a link, which an upgrade of the package
// changes.
type installed struct {
	*process
	link, config, accounts string
}

// install starts a proxy by a link. more are settings; the sessions end within 200 ms after an
// upgrade unless they say otherwise.
func install(t *testing.T, more string, env ...string) *installed {
	t.Helper()
	if more == "" {
		more = `, "server": {"evict_over": "200ms"}`
	}
	i := &installed{link: filepath.Join(t.TempDir(), "xoauth2-proxy")}
	i.points(t, os.Args[0])
	i.process = startProcess(t, more, func(p *process) {
		p.Cmd.Path, p.Cmd.Args[0] = i.link, i.link
		p.Cmd.Env = append(p.Cmd.Env, env...)
		i.config, i.accounts = p.Cmd.Args[3], p.Cmd.Args[5]
	})
	i.running()
	t.Cleanup(func() { // whoever has replaced it
		for _, pid := range i.all() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return i
}

// points has the link point to another program.
func (i *installed) points(t *testing.T, program string) {
	t.Helper()
	if err := os.Symlink(program, i.link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(i.link+".new", i.link); err != nil {
		t.Fatal(err)
	}
}

// script has the link point to a shell script.
func (i *installed) script(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	i.points(t, path)
}

// all are the processes that have these files: the proxy, and what came after it.
func (i *installed) all() (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, err := os.ReadFile(dir + "/cmdline")
		if pid, _ := strconv.Atoi(filepath.Base(dir)); err == nil && strings.Contains(string(line), i.config) && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// upgrade runs the command.
func (i *installed) upgrade(more ...string) (code int, stdout, stderr string) {
	i.t.Helper()
	return runCLI(i.t, append([]string{"upgrade", "--config", i.config, "--accounts", i.accounts, "--socket", i.Socket}, more...)...)
}

var accepts = regexp.MustCompile(`^process (\d+), version \S+, accepts in place of process (\d+)`)

// upgraded upgrades, and returns the new process and the old one.
func (i *installed) upgraded(more ...string) (now, before int) {
	i.t.Helper()
	code, stdout, stderr := i.upgrade(more...)
	m := accepts.FindStringSubmatch(stdout)
	if code != 0 || m == nil {
		i.t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	now, _ = strconv.Atoi(m[1])
	before, _ = strconv.Atoi(m[2])
	return now, before
}

// serving is the process that answers on the admin socket.
func (i *installed) serving() (pid int) {
	i.t.Helper()
	m := regexp.MustCompile(`"pid":(\d+)`).FindStringSubmatch(i.call("GET", "/admin/info"))
	if m == nil {
		i.t.Fatal("no pid")
	}
	pid, _ = strconv.Atoi(m[1])
	return pid
}

// ended waits for the end of a process.
func (i *installed) ended(pid int) {
	i.t.Helper()
	go func() { _ = i.wait() }() // if it is the first one
	testkit.Eventually(i.t, fmt.Sprintf("process %d has ended", pid), func() bool {
		return !slices.Contains(i.all(), pid)
	})
}

// load has clients send messages, each over a connection of its own, until stop is called. A
// connection that is refused fails the test, and so does an answer other than 250, unless the
// process may be killed.
func (i *installed) load(t *testing.T, killed bool) (stop func() (sent int)) {
	t.Helper()
	var sent atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	end := sync.OnceFunc(func() { close(done) })
	for range 3 {
		wg.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond) // the account may send 2,000 a day
			defer pace.Stop()
			for {
				select {
				case <-done:
					return
				case <-pace.C:
				}
				c, err := net.Dial("tcp", i.addr)
				if err != nil {
					t.Errorf("refused: %v", err)
					return
				}
				_ = c.Close()
				switch err := apptest.Deliver(i.addr, signalUser, "placeholder", "load"); {
				case err == nil:
					sent.Add(1)
				case errors.Is(err, io.EOF): // 421 for EHLO, after which package smtp tries HELO
				case !killed && !strings.Contains(err.Error(), "421"):
					t.Errorf("message %d: %v", sent.Load(), err)
				}
			}
		})
	}
	stop = func() int {
		end()
		wg.Wait()
		return int(sent.Load())
	}
	t.Cleanup(func() { stop() })
	return stop
}

// TestUpgrade replaces the process twice under load: no connection is refused, no message is
// lost, the old one ends in order, and the service manager is told.
func TestUpgrade(t *testing.T) {
	manager := newManager(t)
	i := install(t, "", "NOTIFY_SOCKET="+manager.path, "WATCHDOG_USEC=30000000")
	manager.expect(t, "READY=1")
	stop := i.load(t, false)
	for range 2 {
		now, before := i.upgraded()
		if before == now || i.serving() != now {
			t.Errorf("%d serves, %d accepts in place of %d", i.serving(), now, before)
		}
		manager.expect(t, fmt.Sprintf("MAINPID=%d", now))
		manager.expect(t, "READY=1")
		i.ended(before)
		if body := i.call("GET", "/metrics"); !strings.Contains(body, "process_start_time_seconds") {
			t.Error("the page of metrics has not moved")
		}
	}
	if sent, got := stop(), i.provider.Stats().Messages; int64(sent) != int64(got) || sent == 0 {
		t.Errorf("%d messages were accepted, the provider has %d", sent, got)
	}
	if err := syscall.Kill(i.serving(), syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	manager.expect(t, "STOPPING=1")
	testkit.Eventually(t, "all have ended", func() bool { return len(i.all()) == 0 })
}

// TestUpgradeChangesNothing has new processes that do not come to accept: the old one goes on,
// and the operator is told why.
func TestUpgradeChangesNothing(t *testing.T) {
	i := install(t, "")
	was := i.serving()
	self := os.Args[0]
	tests := []struct {
		name    string
		arrange func(t *testing.T)
		want    string
	}{
		{"no program", func(t *testing.T) { i.points(t, "/nonexistent") }, "no such file"},
		{"not a program", func(t *testing.T) { i.points(t, i.config) }, "permission denied"},
		{"it exits at once", func(t *testing.T) { i.script(t, "echo cannot load the library >&2; exit 127") }, "exit status 127: cannot load the library"},
		{"it exits without a word", func(t *testing.T) { i.script(t, "exit 0") }, "the new process ended: exit status 0"},
		{"it hangs", func(t *testing.T) { i.script(t, "echo thinking >&2; exec sleep 600") }, "was not prepared in time: thinking"},
		{"it is a program of an earlier version", func(t *testing.T) {
			i.script(t, "unset XOAUTH2_PROXY_REPLACES; exec "+self+` "$@" --port `+i.addr[strings.LastIndexByte(i.addr, ':')+1:])
		}, "was not prepared in time"},
		{"a file is wrong", func(t *testing.T) {
			i.points(t, self)
			was := apptest.ReadAll(t, i.accounts)
			apptest.WriteFile(t, i.accounts, "[{")
			t.Cleanup(func() { apptest.WriteFile(t, i.accounts, was) })
		}, "not valid JSON"},
		{"a setting cannot be put in force", func(t *testing.T) {
			was := apptest.ReadAll(t, i.config)
			apptest.WriteFile(t, i.config, strings.Replace(was, `"log"`, `"accounting": {"directory": "/proc/nowhere"}, "log"`, 1))
			t.Cleanup(func() { apptest.WriteFile(t, i.config, was) })
		}, "/proc/nowhere"},
	}
	for _, at := range steps[:len(steps)-1] {
		tests = append(tests, struct {
			name    string
			arrange func(t *testing.T)
			want    string
		}{"it dies when " + at, func(t *testing.T) { i.script(t, killing("self", at)) }, "signal: killed"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.arrange(t)
			code, stdout, stderr := i.upgrade("--timeout", "3s")
			if code != 1 || !strings.Contains(stderr, tt.want) || !strings.Contains(stderr, "nothing has changed") {
				t.Errorf("exit code %d\n%s%s\nwant %q", code, stdout, stderr, tt.want)
			}
			if now := i.serving(); now != was {
				t.Errorf("process %d serves", now)
			}
			if err := i.login(signalUser); err != nil {
				t.Error(err)
			}
		})
	}
	i.points(t, self)
	if now, _ := i.upgraded(); now == was {
		t.Error("nothing was replaced at the end")
	}
}

// steps are the steps of a new process, in the words of its log.
var steps = []string{"its files are read", "it may take the stores", "it opens the stores", "its parts have started",
	"it can serve", "it may accept", "it accepts"}

// killing is a script of the program that kills a process, itself or its parent, at a step.
func killing(who, at string) string {
	return fmt.Sprintf("export %s=kill %s=%s %s=%q; exec %s \"$@\"", runAsCommand, killWho, who, killAt, at, os.Args[0])
}

const (
	killWho = "XOAUTH2_PROXY_TEST_KILL_WHO"
	killAt  = "XOAUTH2_PROXY_TEST_KILL_AT"
)

// serveAndKill is the program that replaces another one and kills one of both at a step.
func serveAndKill(configFile, accountsFile string) int {
	who, at := os.Getenv(killWho), os.Getenv(killAt)
	_ = os.Setenv(runAsCommand, "1") // for those that it starts
	replaces, err := upgrade.Inherited()
	if err != nil {
		panic(err)
	}
	c := serveCmd{files: files{Config: configFile, Accounts: accountsFile}, Port: new(int), AdminPort: new(int)}
	p, err := prepare(c.load, &c.cache)
	if err != nil {
		panic(err)
	}
	program, err := upgrade.This(version)
	if err != nil {
		panic(err)
	}
	o := &p.options
	o.Replaces, o.Upgrade = replaces, upgrade.NewOld(program, o.Log)
	o.Log = o.Log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return killingCore{core, who, at} }))
	if e, ok := errors.AsType[exitError](p.serve(nil)); ok {
		return e.code
	}
	return 0
}

// killingCore is a log that kills a process at a step.
type killingCore struct {
	zapcore.Core
	who, at string
}

func (k killingCore) With(f []zapcore.Field) zapcore.Core {
	return killingCore{k.Core.With(f), k.who, k.at}
}
func (k killingCore) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if k.Enabled(e.Level) {
		return c.AddCore(e, k)
	}
	return c
}
func (k killingCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	for _, f := range fields {
		if f.Key == "step" && f.String == k.at {
			pid := os.Getpid()
			if k.who == "parent" {
				pid = os.Getppid()
			}
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return k.Core.Write(e, fields)
}

// TestKilledWhileItIsReplaced kills the old process at each step: the new one goes on, with
// its files, and no connection is refused.
func TestKilledWhileItIsReplaced(t *testing.T) {
	for _, at := range steps {
		t.Run(at, func(t *testing.T) {
			i := install(t, "")
			was := i.serving()
			i.script(t, killing("parent", at))
			stop := i.load(t, true)
			code, _, stderr := i.upgrade()
			i.ended(was)
			// For a minute what the old process may have sent counts as sent: messages may get 4yz.
			testkit.Eventually(t, "another process serves", func() bool {
				c, err := testkit.LogIn(i.addr, signalUser, "placeholder")
				if err == nil {
					_ = c.Close()
				}
				return err == nil
			})
			stop()
			if at != steps[len(steps)-1] && code != 1 {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
			i.waitLine(`"step":"it accepts"`)
			if now := i.serving(); now == was {
				t.Error("no other process serves")
			}
			i.points(t, os.Args[0])
			i.upgraded() // it has all that it needs to be replaced
		})
	}
}

// TestKilledAfterItReplaced kills the new process after it accepts: the old one goes on, until
// it has ended its sessions.
func TestKilledAfterItReplaced(t *testing.T) {
	i := install(t, `, "server": {"evict_over": "1h"}`)
	stop := i.load(t, true)
	for range 2 {
		now, before := i.upgraded()
		if err := syscall.Kill(now, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		i.waitLine("the new process has ended, this one goes on")
		testkit.Eventually(t, "the old process serves", func() bool {
			return apptest.Deliver(i.addr, signalUser, "placeholder", "after") == nil
		})
		if pid := i.serving(); pid != before {
			t.Errorf("process %d serves, not %d", pid, before)
		}
	}
	stop()
}

// TestUpgradeBack goes back: to the old process while it ends its sessions, and to its program
// after that.
func TestUpgradeBack(t *testing.T) {
	t.Run("while the old process lives", func(t *testing.T) {
		i := install(t, `, "server": {"evict_over": "5s"}`)
		stop := i.load(t, false)
		now, before := i.upgraded()
		if code, _, stderr := i.upgrade(); code != 1 || !strings.Contains(stderr, "still ends its sessions") {
			t.Errorf("a third process: exit code %d\n%s", code, stderr)
		}
		if back, from := i.upgraded("--back"); back != before || from != now {
			t.Errorf("%d accepts in place of %d", back, from)
		}
		if pid := i.serving(); pid != before {
			t.Errorf("process %d serves, not %d", pid, before)
		}
		i.ended(now)
		i.waitLine("this one has its stores again")
		if sent, got := stop(), i.provider.Stats().Messages; int64(sent) != int64(got) || sent == 0 {
			t.Errorf("%d messages were accepted, the provider has %d", sent, got)
		}
		i.upgraded() // forward again
	})
	t.Run("after it has ended", func(t *testing.T) {
		i := install(t, "")
		if code, _, stderr := i.upgrade("--back"); code != 1 || !strings.Contains(stderr, "no program to go back to") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		// The next program is another file, and the first one is gone from its path.
		other := filepath.Join(t.TempDir(), "other")
		program, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(other, program, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		i.points(t, other)
		now, before := i.upgraded()
		i.ended(before)
		i.points(t, "/nonexistent")
		stop := i.load(t, false)
		back, from := i.upgraded("--back")
		if from != now {
			t.Errorf("%d was replaced, not %d", from, now)
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", back)); err != nil || exe != os.Args[0] {
			t.Errorf("it runs %q, %v", exe, err)
		}
		i.ended(from)
		stop()
	})
}

// TestSignalsDuringUpgrade: SIGTERM ends the old process while the new one starts, and the new
// one with it; and an upgrade is not begun while another one runs.
func TestSignalsDuringUpgrade(t *testing.T) {
	i := install(t, "")
	i.script(t, "echo thinking >&2; exec sleep 600")
	type result struct {
		code   int
		stderr string
	}
	first := make(chan result, 1)
	go func() {
		status, answer := i.ask("POST", "/admin/upgrade", "")
		first <- result{status, answer}
	}()
	i.waitLine("thinking")
	if status, answer := i.ask("POST", "/admin/upgrade", ""); status != 409 || !strings.Contains(answer, "an upgrade is running") {
		t.Errorf("a second upgrade: %d %s", status, answer)
	}
	i.signal(syscall.SIGTERM)
	if r := testkit.Receive(t, "the first upgrade", first); r.code != 422 {
		t.Errorf("the first upgrade: %d %s", r.code, r.stderr)
	}
	if code := i.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := i.all(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// TestSignalAfterUpgrade: after the new process accepts, SIGTERM for the old one ends its
// sessions at once, and SIGTERM for the new one ends both.
func TestSignalAfterUpgrade(t *testing.T) {
	i := install(t, `, "server": {"evict_over": "1h"}`)
	_, before := i.upgraded()
	if err := syscall.Kill(before, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	i.ended(before)
	if err := i.login(signalUser); err != nil {
		t.Error(err)
	}
	now, _ := i.upgraded()
	if err := syscall.Kill(now, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "both have ended", func() bool { return len(i.all()) == 0 })
}

// manager is a service manager that is told of states.
type manager struct {
	path   string
	states chan string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{path: filepath.Join(t.TempDir(), "notify"), states: make(chan string, 1000)}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			m.states <- string(b[:n])
		}
	}()
	return m
}

// expect waits for a state, past the signs of life.
func (m *manager) expect(t *testing.T, want string) {
	t.Helper()
	for {
		state := testkit.Receive(t, want, m.states)
		if slices.Contains(strings.Split(state, "\n"), want) {
			return
		}
		if state != "WATCHDOG=1" {
			t.Fatalf("the service manager is told %q, want %q", state, want)
		}
	}
}
