package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// marker in the environment says that a process was started to replace its parent. The
// descriptors from firstFD on are then the socket for the steps, that for the stores, the
// program of the parent, standard error, and the listening sockets.
const marker = "XOAUTH2_PROXY_REPLACES"

const (
	firstFD = 3 + iota // for the steps
	storesFD
	programFD
	stderrFD
	socketsFD // and those after it
)

// Program is how the process was started.
type Program struct {
	// Path is absolute. The file at that path may be another one by now.
	Path    string
	Args    []string
	Version string
}

// This returns how this process was started. It is for the beginning of a process, before the
// working directory or PATH change.
func This(version string) (Program, error) {
	path, err := os.Args[0], error(nil)
	if !strings.Contains(path, "/") { // it was found in PATH
		path, err = exec.LookPath(path)
	}
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return Program{}, fmt.Errorf("cannot find the path of this program: %w", err)
	}
	return Program{Path: path, Args: os.Args, Version: version}, nil
}

// child is the new process, as the old one sees it.
type child struct {
	*link
	stores  *net.UnixConn
	process *os.Process
	stderr  *tail
	exited  chan struct{} // closed when it has ended; state is set
	state   *os.ProcessState
}

// start starts a program in the place of this one, and gives it duplicates of sockets.
func start(path string, this Program, sockets []Socket) (_ *child, err error) {
	var opened []int // descriptors for the new process alone
	defer func() {
		for _, fd := range opened {
			_ = syscall.Close(fd)
		}
	}()
	c := &child{exited: make(chan struct{})}
	steps, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	opened = append(opened, theirs)
	defer func() {
		if err != nil {
			_ = steps.Close()
		}
	}()
	if c.stores, theirs, err = pair(); err != nil {
		return nil, err
	}
	opened = append(opened, theirs)
	defer func() {
		if err != nil {
			_ = c.stores.Close()
		}
	}()
	program, err := syscall.Open("/proc/self/exe", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open this program: %w", err)
	}
	opened = append(opened, program)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	files := []uintptr{0, 1, w.Fd(), uintptr(opened[0]), uintptr(opened[1]), uintptr(program), 2}
	for _, s := range sockets {
		files = append(files, uintptr(s.FD))
	}
	pid, err := syscall.ForkExec(path, this.Args, &syscall.ProcAttr{Env: environment(), Files: files})
	if err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("cannot start %s: %w", path, err)
	}
	c.stderr = newTail(r, os.Stderr)
	c.process, _ = os.FindProcess(pid) // it does not fail for a child
	c.link = newLink(steps)
	go func() {
		defer close(c.exited)
		c.state, _ = c.process.Wait()
	}()
	_ = c.tell(message{Step: begin, Sockets: sockets, Version: this.Version}) // gone says that it failed
	return c, nil
}

// environment is what the new process has in its environment: nothing that systemd meant for
// this process alone.
func environment() []string {
	env := []string{marker + "=1"}
	for _, e := range os.Environ() {
		switch name, _, _ := strings.Cut(e, "="); name {
		case marker, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID":
		default:
			env = append(env, e)
		}
	}
	return env
}

// await waits until the process says that it is at a step. The errors say what it did in
// place of that.
func (c *child) await(ctx context.Context, want step) (m message, err error) {
	select {
	case m = <-c.told:
	case <-c.gone:
		select {
		case m = <-c.told: // it came before the end
		default:
			return m, c.why("")
		}
	case <-ctx.Done():
		return m, fmt.Errorf("the new process was not %s in time%s", want, c.said(""))
	}
	switch {
	case m.Step == failed:
		return m, c.why(m.Error)
	case m.Step != want:
		return m, fmt.Errorf("the new process said %q in place of %q: it is of another version", m.Step, want)
	}
	return m, nil
}

// lastWords is how long a process that has closed its socket, or says that it fails, may take
// to end.
const lastWords = 5 * time.Second

// why says how the process ended.
func (c *child) why(reason string) error {
	late := time.NewTimer(lastWords)
	defer late.Stop()
	how := "the new process failed"
	select {
	case <-c.exited:
		how = "the new process ended: " + c.state.String()
		select {
		case <-c.stderr.ended:
		case <-late.C:
		}
	case <-late.C:
	}
	return errors.New(how + c.said(reason))
}

// said is what the process told of its failure: the reason, or the end of standard error.
func (c *child) said(reason string) string {
	if reason == "" {
		reason = c.stderr.text()
	}
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// kill ends the process and waits for its end.
func (c *child) kill() {
	_ = c.process.Kill() // an error says that it has ended
	<-c.exited
	_ = c.conn.Close()
	_ = c.stores.Close()
}
