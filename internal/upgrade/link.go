package upgrade

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"syscall"
)

// step is what one process tells the other one.
type step string

// The steps, in their order; doc.go says who tells which. The last three are told by a new
// process at any time.
const (
	begin     step = "begin"
	prepared  step = "prepared"
	take      step = "take"
	ready     step = "ready"
	accept    step = "accept"
	accepting step = "accepting"
	failed    step = "failed"
	leaving   step = "leaving"
	back      step = "back"
)

// message is a step with what belongs to it.
type message struct {
	Step step `json:"step"`
	// Sockets are the listening sockets, of begin.
	Sockets []Socket `json:"sockets,omitempty"`
	// Version is the program's, of begin and prepared.
	Version string `json:"version,omitempty"`
	// Error says what failed.
	Error string `json:"error,omitempty"`
}

// Socket is a listening socket that is handed over.
type Socket struct {
	// Role is what listens there; Address is what its configuration calls it.
	Role    Role   `json:"role"`
	Address string `json:"address"`
	// FD is the descriptor. The process that starts another one owns it, and so does the
	// process that inherited it.
	FD int `json:"-"`
}

// Role is what a socket is for.
type Role string

// The roles.
const (
	Clients Role = "clients"
	Admin   Role = "admin"
)

// link is the socket between the processes, for the steps.
type link struct {
	conn *net.UnixConn
	told chan message  // what the other one told; it tells few things
	gone chan struct{} // closed when the other one has ended
}

// maxTold is how many steps a process tells at most.
const maxTold = 16

// newLink hears the other process.
func newLink(conn *net.UnixConn) *link {
	l := &link{conn: conn, told: make(chan message, maxTold), gone: make(chan struct{})}
	go l.hear()
	return l
}

// hear reads until the socket ends.
func (l *link) hear() {
	defer close(l.gone)
	from := json.NewDecoder(l.conn)
	for range maxTold {
		var m message
		if from.Decode(&m) != nil {
			break
		}
		l.told <- m
	}
	_, _ = l.conn.Read(make([]byte, 1)) // nothing more is told: this waits for the end
}

// tell sends a step. An error says that the other process has ended, which gone says too.
func (l *link) tell(m message) error { return json.NewEncoder(l.conn).Encode(m) }

// pair returns two connected sockets: ours, and a descriptor for the new process.
func pair() (ours *net.UnixConn, theirs int, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	if ours, err = unixConn(fds[0]); err != nil {
		_ = syscall.Close(fds[1])
		return nil, -1, err
	}
	return ours, fds[1], nil
}

// unixConn makes a connection of a descriptor, which it owns.
func unixConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	if f == nil {
		return nil, os.ErrInvalid
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, errors.New("it is not a unix socket")
	}
	return conn, nil
}
