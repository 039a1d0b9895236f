package lab

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the program when its starter has ended,
// however that came about.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
