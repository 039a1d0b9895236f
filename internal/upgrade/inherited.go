package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// New is the side of the new process. Its methods are called in the order of the steps.
type New struct {
	// Sockets are the listening sockets of the old process; the caller owns their
	// descriptors.
	Sockets []Socket
	// Stores is for a Taker, which owns it.
	Stores *net.UnixConn
	// Previous is the program of the old process, for Old; Version is its version.
	Previous *os.File
	Version  string

	link   *link
	stderr func()
}

// beginTimeout bounds how long the old process takes to say what it handed over.
const beginTimeout = 10 * time.Second

// Inherited returns what this process has of the one that it replaces; nil: it replaces none.
// It is for the beginning of a process.
func Inherited() (*New, error) {
	if os.Getenv(marker) == "" {
		return nil, nil
	}
	_ = os.Unsetenv(marker)
	for fd := firstFD; fd < socketsFD; fd++ {
		unix.CloseOnExec(fd)
	}
	n, err := inherited()
	if err != nil {
		return nil, fmt.Errorf("cannot replace the process that has started this one: %w", err)
	}
	return n, nil
}

func inherited() (*New, error) {
	conn, err := unixConn(firstFD)
	if err != nil {
		return nil, err
	}
	if peer, err := peerOf(conn); err != nil || peer != os.Getppid() {
		return nil, errors.Join(errors.New("it has not made this socket"), err)
	}
	if os.Getenv("WATCHDOG_USEC") != "" {
		_ = os.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	}
	var m message
	_ = conn.SetReadDeadline(time.Now().Add(beginTimeout))
	if err := json.NewDecoder(oneByOne{conn}).Decode(&m); err != nil || m.Step != begin {
		return nil, errors.Join(errors.New("it does not say what it hands over"), err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	journal(stderrFD, 2) // the old process copies what comes by the pipe
	n := &New{
		Sockets: m.Sockets, Version: m.Version, Previous: programFile(),
		link: newLink(conn), stderr: sync.OnceFunc(ownStderr),
	}
	for i := range n.Sockets {
		n.Sockets[i].FD = socketsFD + i
		unix.CloseOnExec(n.Sockets[i].FD)
	}
	if n.Stores, err = unixConn(storesFD); err != nil {
		return nil, err
	}
	return n, nil
}

// programFile is the program of the old process. Its descriptor is above all that a process
// hands over, so that it can be executed by its descriptor.
func programFile() *os.File {
	defer func() { _ = unix.Close(programFD) }()
	fd, err := unix.FcntlInt(programFD, unix.F_DUPFD_CLOEXEC, highFD)
	if err != nil { // there is no way back then
		return nil
	}
	return os.NewFile(uintptr(fd), "previous program")
}

// highFD is above the descriptors that are handed over.
const highFD = 1000

// ownStderr has standard error go where that of the old process goes. Until then it goes to
// the old process.
func ownStderr() {
	journal(2, stderrFD)
	_ = unix.Dup3(stderrFD, 2, 0)
	_ = unix.Close(stderrFD)
}

// journal has JOURNAL_STREAM name the file of one descriptor if it names that of another one:
// it says that what is written there comes to systemd's journal (systemd.exec(5)).
func journal(from, to int) {
	const name = "JOURNAL_STREAM"
	var a, b unix.Stat_t
	if unix.Fstat(from, &a) == nil && unix.Fstat(to, &b) == nil && os.Getenv(name) == fmt.Sprintf("%d:%d", a.Dev, a.Ino) {
		_ = os.Setenv(name, fmt.Sprintf("%d:%d", b.Dev, b.Ino))
	}
}

// oneByOne reads an octet at a time, so that nothing after a message is read with it.
type oneByOne struct{ net.Conn }

func (o oneByOne) Read(b []byte) (int, error) { return o.Conn.Read(b[:min(len(b), 1)]) }

// peerOf is the process that made the socket at the other end.
func peerOf(conn *net.UnixConn) (pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) {
		var peer *syscall.Ucred
		if peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid, errors.Join(err, cerr)
}

// Prepared says that the files have been read and are in order, and waits until the process
// may take the stores: until the old one says so, or has ended.
func (n *New) Prepared(ctx context.Context, version string) error {
	_ = n.link.tell(message{Step: prepared, Version: version})
	return n.await(ctx, take)
}

// Ready says that the process can serve, and waits until it may accept: until the old one says
// so, or has ended.
func (n *New) Ready(ctx context.Context) error {
	n.stderr()
	_ = n.link.tell(message{Step: ready})
	return n.await(ctx, accept)
}

// Accepting says that the process accepts.
func (n *New) Accepting() { _ = n.link.tell(message{Step: accepting}) }

// Failed says why the process ends without having replaced the old one.
func (n *New) Failed(err error) { _ = n.link.tell(message{Step: failed, Error: err.Error()}) }

// Leaving says that the process ends because it was told to: the old one need not begin again.
func (n *New) Leaving() { _ = n.link.tell(message{Step: leaving}) }

// Alone is closed when the old process has ended.
func (n *New) Alone() <-chan struct{} { return n.link.gone }

// await waits for a step, or for the end of the old process.
func (n *New) await(ctx context.Context, want step) error {
	select {
	case m := <-n.link.told:
		if m.Step != want {
			return fmt.Errorf("the old process said %q in place of %q", m.Step, want)
		}
		return nil
	case <-n.link.gone:
		n.stderr() // the old process does not read it any more
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
