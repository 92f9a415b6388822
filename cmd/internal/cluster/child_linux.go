package cluster

import "syscall"

const stopSignal = syscall.SIGTERM

// childAttributes keep a terminal's Ctrl-C from the child, and the child from
// surviving this program.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
