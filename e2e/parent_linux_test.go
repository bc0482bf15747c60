package e2e

import (
	"os/exec"
	"syscall"
)

// endWithParent has a process killed when the tests are, so that none is left behind whatever happens.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
