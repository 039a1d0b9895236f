// Package testmount runs tests with mounts of their own, which no other process sees:
// single mounted files, read-only places and full disks.
//
// A test that calls [Inside] is run again in a child process with a mount
// namespace of its own. Root makes one as it is; an ordinary user makes it
// together with a user namespace, in which it is root.
package testmount

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// insideOf is, in the environment of a child, the test that it runs.
const insideOf = "TESTMOUNT_INSIDE_OF"

// ran is the line that a child prints when the test has begun there.
const ran = "testmount: inside of "

// Inside reports whether the test runs with a mount namespace of its own. In the process
// that go test starts it runs the test again in a child and returns false; then the test
// has nothing more to do, and a failure of the child fails it. Where the system allows no
// namespace the test is skipped, with the reason. It is for tests, not for subtests.
func Inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideOf) == t.Name() {
		os.Stdout.WriteString(ran + t.Name() + "\n")
		return true
	}
	out, err := again(t, syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
	if refused(err) {
		out, err = again(t, syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER, Unshareflags: syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		})
	}
	switch {
	case refused(err):
		t.Skipf("NOT TESTED: this system gives the test no mount namespace: %v", err)
	case err != nil:
		t.Errorf("in a mount namespace of its own: %v\n%s", err, out)
	case !bytes.Contains(out, []byte(ran+t.Name()+"\n")) || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")):
		t.Errorf("the test did not run in a mount namespace of its own:\n%s", out)
	}
	return false
}

// refused reports whether the system did not allow a process to be started so.
func refused(err error) bool {
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) { // it was started
		return false
	}
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EUSERS) ||
		errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS)
}

// again runs the test in a child, whose mounts stay with it: the Go runtime makes
// the mounts of a new namespace private.
func again(t *testing.T, how syscall.SysProcAttr) ([]byte, error) {
	child := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	child.Env = append(os.Environ(), insideOf+"="+t.Name())
	child.SysProcAttr = &how
	return child.CombinedOutput()
}

// AsUser reports whether the test runs as an ordinary user. Where go test runs as root, it
// runs the test again as the user "nobody" and returns false.
func AsUser(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		os.Stdout.WriteString(ran + t.Name() + "\n")
		return true
	}
	out, err := again(t, syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}})
	switch {
	case refused(err):
		t.Skipf("NOT TESTED: this system does not let the test run as an ordinary user: %v", err)
	case err != nil:
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	case !bytes.Contains(out, []byte(ran+t.Name()+"\n")) || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")):
		t.Errorf("the test did not run as an ordinary user:\n%s", out)
	}
	return false
}

// Bind mounts the file or directory at from over the one at to, until the test
// ends.
func Bind(t *testing.T, from, to string) {
	t.Helper()
	mount(t, from, to, "", syscall.MS_BIND, "")
}

// ReadOnly makes the file or directory at path read-only, but for what is mounted
// below it.
func ReadOnly(t *testing.T, path string) {
	t.Helper()
	mount(t, path, path, "", syscall.MS_BIND|syscall.MS_REC, "")
	if err := syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("remount %s read-only: %v", path, err)
	}
}

// Disk mounts an empty file system of so many octets at the directory dir.
func Disk(t *testing.T, dir, size string) {
	t.Helper()
	mount(t, "tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700")
}

func mount(t *testing.T, from, to, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(from, to, kind, flags, data); err != nil {
		t.Fatalf("mount %s at %s: %v", from, to, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(to, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", to, err)
		}
	})
}

// Fill writes to a new file in dir until the disk has no room, and returns a
// function that makes room again.
func Fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := []byte(strings.Repeat("x", 1<<16)); len(block) > 0; {
		if _, err = f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}
