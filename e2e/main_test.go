//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// workDir has the program under test and a directory for each stack. Other
// users may enter it: parts of Postfix and Exim do not run as root.
var workDir string

// proxyBinary is the program under test.
var proxyBinary string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) (code int) {
	var err error
	if workDir, err = os.MkdirTemp("", "xoauth2-proxy-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(workDir)
	if err := os.Chmod(workDir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	proxyBinary = filepath.Join(workDir, "xoauth2-proxy")
	build := exec.Command("go", "build", "-o", proxyBinary, "xoauth2-proxy/cmd/xoauth2-proxy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
