package flow

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// pipeSize is the most that a pipe holds, in octets, unless a process asks for more.
const pipeSize = 64 << 10

// A tap reads what a command writes to a pipe until the command has exited, even if a
// child of the command keeps the pipe open.
type tap struct {
	from, to *os.File
	into     *limited
	done     chan struct{} // closed when nothing reads from any more
}

// newTap returns a tap that writes to into. Close it.
func newTap(into *limited) (*tap, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t := &tap{from: from, to: to, into: into, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		if _, _ = io.Copy(into, from); into.exceeded {
			_ = from.Close() // the command's next write fails
		}
	}()
	return t, nil
}

// close reads what is in the pipe by now, and no more. No process need have exited.
func (t *tap) close() {
	_ = t.to.Close()
	_ = t.from.SetReadDeadline(time.Unix(1, 0))
	<-t.done
	defer t.from.Close()
	_ = t.from.SetReadDeadline(time.Time{})
	raw, err := t.from.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 4<<10)
	_ = raw.Read(func(fd uintptr) bool {
		for read := 0; read < pipeSize; {
			n, err := unix.Read(int(fd), buf)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case n <= 0: // EAGAIN: it is empty
				return true
			}
			if _, err := t.into.Write(buf[:n]); err != nil {
				return true
			}
			read += n
		}
		return true
	})
}

// runTapped runs cmd with its standard output and error read into out and complaint.
func runTapped(cmd *exec.Cmd, out, complaint *limited) error {
	stdout, err := newTap(out)
	if err != nil {
		return err
	}
	stderr, err := newTap(complaint)
	if err != nil {
		stdout.close()
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout.to, stderr.to
	err = cmd.Run()
	stdout.close()
	stderr.close()
	return err
}

// limited is a buffer of at most left more octets. A write beyond them is dropped, or
// fails, which ends the command.
type limited struct {
	buf      bytes.Buffer
	left     int
	drop     bool
	exceeded bool
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.buf.Write(p[:n])
	if n < len(p) && !l.drop {
		l.exceeded = true
		return n, errCommandOutput
	}
	return len(p), nil
}
