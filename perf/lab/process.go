// Package lab is what the measuring commands have in common. A Bench builds the
// programs, starts them and ends them; a Stand is a sandbox and a proxy, a Comparison a
// sink and several candidates; Figures, Quantile and Table make tables of their runs. Its
// functions end the measurement at an error (Check) instead of returning it.
package lab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Process is a program that was started. It ends with its Bench, or with this
// process, however that came about.
type Process struct {
	name   string
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer // read after the end only
	ended  chan struct{}
}

// Start starts a program, with env added to its environment as NAME=VALUE.
func (b *Bench) Start(env []string, name string, args ...string) *Process {
	p := &Process{name: filepath.Base(name), cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	reader, writer, err := os.Pipe()
	Check(err)
	p.stdout = bufio.NewReader(reader)
	p.cmd.Stdout, p.cmd.Stderr = writer, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = p.cmd.Start()
	writer.Close()
	Check(err)
	go func() {
		_ = p.cmd.Wait() // how it ended shows in what it said
		close(p.ended)
	}()
	b.Defer(p.Stop)
	return p
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended says whether it has.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Line reads the next line of standard output.
func (p *Process) Line() string {
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		p.fail(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// Discard drops what else comes on standard output, so that the program never
// waits for us.
func (p *Process) Discard() { go func() { _, _ = io.Copy(io.Discard, p.stdout) }() }

// fail ends the measurement with what the program said if it has ended, or else with
// err.
func (p *Process) fail(err error) {
	select {
	case <-p.ended:
		Failf("%s ended: %s", p.name, strings.TrimSpace(p.stderr.String()))
	case <-time.After(time.Second):
		Failf("%s: %w", p.name, err)
	}
}

// Signal sends a signal to the program.
func (p *Process) Signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil {
		p.fail(err)
	}
}

// Stop ends the program and waits for it: SIGTERM first, and SIGKILL when that
// does not do within ten seconds.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// WaitReady waits until the program takes connections at the address.
func (p *Process) WaitReady(addr string) {
	deadline := time.Now().Add(15 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-p.ended:
			p.fail(err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			Failf("%s does not listen on %s: %w", p.name, addr, err)
		}
	}
}

// Resident returns what the program has in memory, in octets.
func (p *Process) Resident() float64 { return residentOf(p.PID()) }

func residentOf(pid int) float64 {
	fields := strings.Fields(string(Must(os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)))))
	return float64(Must(strconv.ParseInt(fields[1], 10, 64)) * int64(os.Getpagesize()))
}

// FreeAddress returns an address of 127.0.0.1 whose port was free a moment ago. The port is
// below the range that the system gives to clients: a client could take one of that range
// before a program listens on it.
func FreeAddress() string {
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(10_000)))
		l, err := net.Listen("tcp", address)
		if err == nil {
			Check(l.Close())
			return address
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			Check(err)
		}
	}
	Failf("no port is free")
	return ""
}

// build builds a package of this module into dir and returns the program.
func build(dir, pkg string) string {
	program := filepath.Join(dir, filepath.Base(pkg))
	goBuild(program, "xoauth2-proxy/"+pkg)
	return program
}

// goBuild has go build make a program.
func goBuild(program string, args ...string) {
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", program}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		Failf("building %s: %w\n%s", args[len(args)-1], err, out)
	}
}
