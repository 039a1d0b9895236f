// Package lab is what the measuring commands have in common: building the
// programs, starting and ending them, loading them, and rendering tables.
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

// A Process is a program that was started and is to be ended.
type Process struct {
	name   string
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer // read after the end only
	ended  chan struct{}
}

// Start starts a program in the foreground. It dies with this process.
func Start(name string, args ...string) (*Process, error) { return StartEnv(nil, name, args...) }

// StartEnv is Start with this in the environment too, as NAME=VALUE.
func StartEnv(env []string, name string, args ...string) (*Process, error) {
	p := &Process{name: filepath.Base(name), cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(reader)
	p.cmd.Stdout, p.cmd.Stderr = writer, &p.stderr
	dieWithParent(p.cmd)
	err = p.cmd.Start()
	writer.Close()
	if err != nil {
		reader.Close()
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended shows in what it said
		close(p.ended)
	}()
	return p, nil
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
func (p *Process) Line() (string, error) {
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		return "", p.failure(err)
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// Discard drops what else comes on standard output, so that the program never
// waits for us.
func (p *Process) Discard() { go func() { _, _ = io.Copy(io.Discard, p.stdout) }() }

// failure adds to err what the program said, if it has ended.
func (p *Process) failure(err error) error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %s", p.name, strings.TrimSpace(p.stderr.String()))
	case <-time.After(time.Second):
		return fmt.Errorf("%s: %w", p.name, err)
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
func (p *Process) WaitReady(addr string) error {
	deadline := time.Now().Add(15 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.ended:
			return p.failure(err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not listen on %s: %w", p.name, addr, err)
		}
	}
}

// FreePort returns a port of 127.0.0.1 that was free a moment ago. It is below those
// that the system gives to connections: of those, one that was free may be a client's
// by the time that somebody listens on it.
func FreePort() (int, error) {
	for range 100 {
		port := 20_000 + rand.IntN(10_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return 0, err
		}
	}
	return 0, errors.New("no port is free")
}

// Build builds packages of this module into dir and returns the programs in
// the same order.
func Build(dir string, packages ...string) ([]string, error) {
	programs := make([]string, len(packages))
	for i, pkg := range packages {
		programs[i] = filepath.Join(dir, filepath.Base(pkg))
		cmd := exec.Command("go", "build", "-trimpath", "-o", programs[i], pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("building %s: %w", pkg, err), errors.New(string(out)))
		}
	}
	return programs, nil
}
