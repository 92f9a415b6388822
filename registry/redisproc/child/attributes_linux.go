package child

import "syscall"

const stopSignal = syscall.SIGTERM

// attributes keep a terminal's Ctrl-C from the child, and the child from
// surviving this program.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
