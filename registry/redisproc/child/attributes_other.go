//go:build !unix

package child

import (
	"os"
	"syscall"
)

var stopSignal = os.Interrupt

func attributes() *syscall.SysProcAttr { return nil }
