package testkit

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Program is a proxy that runs as a process of its own.
type Program struct {
	Cmd     *exec.Cmd     // its ProcessState is set after Exited
	Clients string        // the address of the first listener
	Admin   string        // the address of metrics and health
	Socket  string        // of the admin API
	Exited  chan struct{} // closed when it has ended and its log is complete

	mu  sync.Mutex // guards log
	log strings.Builder
}

// LoggedAddress and LoggedSocket find what lines about listeners name, be the log in JSON or
// in text.
var (
	LoggedAddress = regexp.MustCompile(`"address":\s*"([^"]+)"`)
	LoggedSocket  = regexp.MustCompile(`"socket":\s*"([^"]*)"`)
)

// StartProgram starts a proxy and waits until it listens. The caller ends it.
func StartProgram(t testing.TB, cmd *exec.Cmd) *Program {
	t.Helper()
	p := &Program{Cmd: cmd, Exited: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	listens := make(chan struct{})
	go func() {
		defer close(p.Exited)
		p.read(r, listens)
		_ = cmd.Wait() // its error is in ProcessState
	}()
	select {
	case <-listens:
	case <-p.Exited:
		t.Fatalf("the proxy did not start: %v\n%s", cmd.ProcessState, p.Log())
	case <-time.After(Patience):
		_ = cmd.Process.Kill()
		t.Fatalf("the proxy does not listen after %v\n%s", Patience, p.Log())
	}
	return p
}

// read keeps what the program writes, and closes listens when the addresses are known.
func (p *Program) read(r *os.File, listens chan<- struct{}) {
	defer r.Close()
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		p.log.WriteString(line)
		p.mu.Unlock()
		if at := LoggedAddress.FindStringSubmatch(line); at != nil && p.Admin == "" {
			switch {
			case strings.Contains(line, "listening for clients") && p.Clients == "":
				p.Clients = at[1]
			case strings.Contains(line, "listening for metrics and health"):
				if s := LoggedSocket.FindStringSubmatch(line); s != nil {
					p.Socket = s[1]
				}
				p.Admin = at[1] // the last of the lines about listeners
				close(listens)
			}
		}
		if err != nil {
			return
		}
	}
}

// Log is what the program has written so far.
func (p *Program) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Running reports whether the program has not ended.
func (p *Program) Running() bool {
	select {
	case <-p.Exited:
		return false
	default:
		return true
	}
}
