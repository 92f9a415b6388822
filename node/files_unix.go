//go:build unix

package node

import (
	"math"
	"syscall"
)

// openFilesLimit is how many files this process may have open; 0: no limit is known.
func openFilesLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur > math.MaxInt32 {
		return 0
	}
	return int(l.Cur)
}
