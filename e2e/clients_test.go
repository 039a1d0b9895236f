//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// clientTimeout is for one run of a client, far above what it needs.
const clientTimeout = 2 * time.Minute

// program returns the path of a client. One that is missing fails the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} { // sbin is not in every user's PATH
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	if err != nil {
		t.Fatalf("%s is missing: run e2e/install as root (%v)", name, err)
	}
	return path
}

// mustBeRoot fails the test of an MTA that cannot run as another user.
func mustBeRoot(t *testing.T, name string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("%s starts as root only: run the tests as root", name)
	}
}

// outcome is what a client's run came to.
type outcome struct {
	code           int // exit code
	stdout, stderr []byte
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d\n%s\n%s", o.code, tail(string(o.stdout), 4<<10), tail(string(o.stderr), 4<<10))
}

// run runs a client with stdin to its end.
func run(ctx context.Context, stdin []byte, name string, args ...string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 30 * time.Second // for its output, once it has ended
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	o := outcome{cmd.ProcessState.ExitCode(), stdout.Bytes(), stderr.Bytes()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil // the caller looks at the code
	}
	return o, err
}

// mustRun is run for a client that must succeed.
func mustRun(t *testing.T, stdin []byte, name string, args ...string) outcome {
	t.Helper()
	o, err := run(t.Context(), stdin, name, args...)
	if err != nil {
		t.Fatalf("%s: %v: %v", name, err, o)
	}
	if o.code != 0 {
		t.Fatalf("%s: %v", name, o)
	}
	return o
}

// write puts content into a file of the stack's directory and returns its
// path.
func (s *stack) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// freePort returns a port of 127.0.0.1 without a listener, for an MTA that must be told
// one.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
