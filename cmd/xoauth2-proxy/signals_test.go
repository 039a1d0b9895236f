package main

import (
	"bufio"
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

const signalUser = "user@gmail.com"

// process is the proxy as a process whose signals are tested.
type process struct {
	*command
	dir      string // state_dir
	provider *sandbox.Server
	stderr   *os.File     // what the log is read from
	lines    chan string  // of the log; closed at its end
	wait     func() error // waits for the end of the process, as often as it is asked to
	seen     []string
}

// startProcess starts the proxy with a state directory and does not wait for it. how may
// change the command.
func startProcess(t *testing.T, more string, how func(p *process)) *process {
	t.Helper()
	provider, f := apptest.NewSandbox(t, signalUser)
	p := &process{command: &command{Program: &testkit.Program{}, t: t}, dir: t.TempDir(), provider: provider, lines: make(chan string, 10_000)}
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "log": {"format": "json"}, "state_dir": %q%s}`, f.CA, p.dir, more))
	p.Cmd = exec.Command(os.Args[0], "serve", "--config", f.Config, "--accounts", f.Accounts, "--port", "0", "--admin-port", "0")
	p.Cmd.Env = append(os.Environ(), runAsCommand+"=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Cmd.Stderr, p.stderr = w, r
	if how != nil {
		how(p)
	}
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	p.wait = sync.OnceValue(p.Cmd.Wait)
	t.Cleanup(func() { _ = p.Cmd.Process.Kill(); _ = p.wait() })
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.lines <- s.Text()
		}
		_ = r.Close()
	}()
	return p
}

// waitLine waits for a line of the log.
func (p *process) waitLine(part string) string {
	p.t.Helper()
	deadline := time.After(apptest.Patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the process ended before %q:\n%s", part, strings.Join(p.seen, "\n"))
			}
			p.seen = append(p.seen, line)
			if strings.Contains(line, part) {
				return line
			}
		case <-deadline:
			p.t.Fatalf("no %q in\n%s", part, strings.Join(p.seen, "\n"))
		}
	}
}

// waitOpen waits until the process has a file of that name open.
func (p *process) waitOpen(name string) {
	p.t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(apptest.Patience); ; <-look.C {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.Cmd.Process.Pid))
		if slices.ContainsFunc(files, func(f string) bool { to, _ := os.Readlink(f); return filepath.Base(to) == name }) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not open", name)
		}
	}
}

// running waits until clients and operators can connect.
func (p *process) running() {
	p.t.Helper()
	p.addr = testkit.LoggedAddress.FindStringSubmatch(p.waitLine("listening for clients"))[1]
	line := p.waitLine("listening for metrics")
	p.admin, p.Socket = "http://"+testkit.LoggedAddress.FindStringSubmatch(line)[1], testkit.LoggedSocket.FindStringSubmatch(line)[1]
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end of the process and returns its exit code, -1 if a signal ended it.
func (p *process) exit() int {
	ended := make(chan struct{})
	go func() { _ = p.wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(apptest.Patience):
		p.t.Fatalf("the process does not end:\n%s", strings.Join(p.seen, "\n"))
	}
	for line := range p.lines {
		p.seen = append(p.seen, line)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// TestSignals has every signal in every phase of a life.
func TestSignals(t *testing.T) {
	const hup, term, intr, pipe, usr1, usr2 = syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2
	phases := map[string]func(t *testing.T) (p *process, goOn func()){
		"starting": func(t *testing.T) (*process, func()) { // another process has the counts of the day
			var other *bbolt.DB
			p := startProcess(t, "", func(p *process) {
				db, err := bbolt.Open(filepath.Join(p.dir, "quota.db"), 0o600, nil)
				if err != nil {
					t.Fatal(err)
				}
				other = db
			})
			p.waitOpen("quota.db")
			return p, func() { _ = other.Close() }
		},
		"running": func(t *testing.T) (*process, func()) {
			p := startProcess(t, "", nil)
			p.running()
			return p, func() {}
		},
		"draining": func(t *testing.T) (*process, func()) { // a client is within a message
			p := startProcess(t, "", nil)
			p.running()
			c, err := smtp.Dial(p.addr)
			if err == nil {
				err = c.Auth(smtp.PlainAuth("", signalUser, "placeholder", "127.0.0.1"))
			}
			if err == nil {
				err = c.Mail("from@example.com")
			}
			if err == nil {
				err = c.Rcpt("to@example.com")
			}
			if err != nil {
				t.Fatal(err)
			}
			content, err := c.Data()
			if err != nil {
				t.Fatal(err)
			}
			p.signal(term)
			p.waitLine("draining")
			return p, func() {
				if _, err := content.Write([]byte("x\r\n")); err != nil {
					t.Error(err)
				}
				if err := content.Close(); err != nil {
					t.Errorf("the message: %v", err)
				}
				_ = c.Close()
			}
		},
	}
	tests := []struct {
		phase   string
		signals []syscall.Signal
		want    []string // lines, in this order
		lives   bool     // and SIGTERM ends it in order
	}{
		{"starting", []syscall.Signal{hup}, []string{`"cause":"SIGHUP"`}, true},
		{"starting", []syscall.Signal{pipe, usr1, usr2}, []string{"listening for clients"}, true},
		{"starting", []syscall.Signal{term}, []string{"listening for clients", "draining", "stopped"}, false},
		{"starting", []syscall.Signal{intr, intr}, []string{"listening for clients", "draining", "stopped"}, false},
		{"running", []syscall.Signal{hup}, []string{`"cause":"SIGHUP"`}, true},
		{"running", []syscall.Signal{pipe, usr1, usr2}, nil, true},
		{"running", []syscall.Signal{term}, []string{"draining", "stopped"}, false},
		{"running", []syscall.Signal{intr}, []string{"draining", "stopped"}, false},
		{"running", []syscall.Signal{term, intr, term}, []string{"draining", "stopped"}, false}, // within a second
		{"draining", []syscall.Signal{hup, pipe, usr1, usr2}, []string{"stopped"}, false},
		{"draining", []syscall.Signal{term, intr, term, term}, []string{"stopped"}, false}, // within a second
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.phase, " ", tt.signals), func(t *testing.T) {
			t.Parallel()
			p, goOn := phases[tt.phase](t)
			for _, sig := range tt.signals {
				p.signal(sig)
			}
			goOn()
			for _, want := range tt.want {
				p.waitLine(want)
			}
			if tt.lives {
				p.signal(term)
			}
			if code := p.exit(); code != 0 {
				t.Errorf("exit code %d\n%s", code, strings.Join(p.seen, "\n"))
			}
			if slices.Contains(tt.signals, hup) && tt.lives && slices.ContainsFunc(p.seen, func(l string) bool { return strings.Contains(l, "refused") }) {
				t.Errorf("the reload failed:\n%s", strings.Join(p.seen, "\n"))
			}
		})
	}
}

// TestLateSecondSignal: one that comes more than a second after the first ends the drain.
func TestLateSecondSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := startProcess(t, "", nil)
		p.running()
		c, err := smtp.Dial(p.addr)
		if err == nil {
			err = c.Auth(smtp.PlainAuth("", signalUser, "placeholder", "127.0.0.1"))
		}
		if err == nil {
			err = c.Mail("from@example.com") // a transaction keeps the drain from ending
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p.signal(syscall.SIGTERM)
		p.waitLine("draining")
		ended := make(chan int)
		go func() { ended <- p.exit() }()
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		code := 0
		for running := true; running; {
			select {
			case code = <-ended:
				running = false
			case <-again.C:
				_ = p.Cmd.Process.Signal(sig)
			}
		}
		if code != exitCut || !slices.ContainsFunc(p.seen, func(l string) bool { return strings.Contains(l, "second signal") }) {
			t.Errorf("%v: exit code %d\n%s", sig, code, strings.Join(p.seen, "\n"))
		}
	}
}

// TestLogFileIsReopened renames log.file, as logrotate does, and sends SIGHUP.
func TestLogFileIsReopened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proxy.log")
	p := startProcess(t, "", func(p *process) {
		config := p.Cmd.Args[slices.Index(p.Cmd.Args, "--config")+1]
		apptest.WriteFile(t, config, strings.Replace(apptest.ReadAll(t, config), `"format"`, fmt.Sprintf(`"file": %q, "format"`, file), 1))
	})
	p.running()
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.waitLine(`"cause":"SIGHUP"`)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	apptest.CheckParts(t, apptest.ReadAll(t, file+".1"), "listening for clients")
	now := apptest.ReadAll(t, file)
	apptest.CheckParts(t, now, `"cause":"SIGHUP"`, "stopped")
	if strings.Contains(now, "listening for clients") {
		t.Errorf("the new file begins too early:\n%s", now)
	}
}

var lostLines = regexp.MustCompile(`(?m)^log_lines_lost_total ([1-9]\d*)$`)

// TestClosedStandardError closes the pipe that standard error goes to: mail goes on, lost
// lines are counted, and the process ends in order.
func TestClosedStandardError(t *testing.T) {
	p := startProcess(t, "", nil)
	p.running()
	_ = p.stderr.Close()
	if err := p.login("nobody@example.com"); err == nil { // it is logged
		t.Fatal("an unknown user logged in")
	}
	if err := p.login(signalUser); err != nil {
		t.Error(err)
	}
	if body := p.call("GET", "/metrics"); !lostLines.MatchString(body) {
		t.Error("no lost line is counted")
	}
	if n := p.provider.Stats().Messages; n != 1 {
		t.Errorf("%d messages at the provider", n)
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d, %v", code, p.Cmd.ProcessState)
	}
}

// TestTerminal: SIGHUP reloads while the terminal is there that the process began at, and
// ends it in order when the terminal is gone.
func TestTerminal(t *testing.T) {
	atTerminal := func(t *testing.T, tty *terminal) func(p *process) {
		return func(p *process) {
			p.Cmd.Stdin = tty.inside
			p.Cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
		}
	}
	commands := map[string]func(t *testing.T, tty *terminal) *process{
		"serve": func(t *testing.T, tty *terminal) *process { return startProcess(t, "", atTerminal(t, tty)) },
		"demo": func(t *testing.T, tty *terminal) *process {
			return startProcess(t, "", func(p *process) {
				p.Cmd.Args = []string{os.Args[0], "demo", "--dir", t.TempDir(), "--port", "0", "--admin-port", "0", "--sandbox-port", "0"}
				atTerminal(t, tty)(p)
			})
		},
	}
	for name, start := range commands {
		t.Run(name, func(t *testing.T) {
			tty := newTerminal(t)
			p := start(t, tty)
			_ = tty.inside.Close()
			p.waitLine("listening for metrics")
			p.signal(syscall.SIGHUP)
			p.waitLine("SIGHUP")
			if strings.Contains(p.seen[len(p.seen)-1], "draining") {
				t.Fatal("it ends although its terminal is there")
			}
			_ = tty.master.Close() // the kernel sends SIGHUP
			p.waitLine("draining")
			if code := p.exit(); code != 0 {
				t.Errorf("exit code %d, %v", code, p.Cmd.ProcessState)
			}
		})
	}
}

// TestShutdownDelay: after SIGTERM /ready is 503 while clients still connect and send, until
// the delay has passed or another signal comes.
func TestShutdownDelay(t *testing.T) {
	p := startProcess(t, `, "server": {"shutdown_delay": "1m"}`, nil)
	p.running()
	p.signal(syscall.SIGTERM)
	p.waitLine("draining soon")
	if status, body := p.ask("GET", "/ready", ""); status != 503 || !strings.Contains(body, "draining") {
		t.Errorf("/ready: %d %s", status, body)
	}
	if err := p.login(signalUser); err != nil {
		t.Errorf("a client within the delay: %v", err)
	}
	done := make(chan int)
	go func() { done <- p.exit() }()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for running := true; running; {
		select {
		case code := <-done:
			if running = false; code != exitCut {
				t.Errorf("exit code %d", code)
			}
		case <-again.C:
			_ = p.Cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	p = startProcess(t, `, "server": {"shutdown_delay": "50ms"}`, nil)
	p.running()
	p.signal(syscall.SIGTERM)
	p.waitLine("draining soon")
	p.waitLine("draining: no new connections")
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
