//go:build unix

package oauth

import (
	"os/exec"
	"syscall"
)

// ownGroup puts the command into a process group of its own, all of which ends
// with it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
