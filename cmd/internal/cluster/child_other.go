//go:build !unix

package cluster

import (
	"os"
	"syscall"
)

var stopSignal = os.Interrupt

func childAttributes() *syscall.SysProcAttr { return nil }
