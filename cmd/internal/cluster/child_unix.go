//go:build unix && !linux

package cluster

import "syscall"

const stopSignal = syscall.SIGTERM

// childAttributes keep a terminal's Ctrl-C from the child.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
