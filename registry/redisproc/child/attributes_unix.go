//go:build unix && !linux

package child

import "syscall"

const stopSignal = syscall.SIGTERM

// attributes keep a terminal's Ctrl-C from the child.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
