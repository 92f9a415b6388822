//go:build unix

package chaos

import (
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// usedTime is the processor time of this program and of all its children that have
// ended.
func usedTime() (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var use syscall.Rusage
		if syscall.Getrusage(who, &use) == nil {
			sum += time.Duration(use.Utime.Nano() + use.Stime.Nano())
		}
	}
	return sum
}

// usage is what the machine's processors have done so far, in seconds. It is zero
// where that is not known.
type usage struct{ busy, all float64 }

func busyTime() usage {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return usage{}
	}
	stat, err := fs.Stat()
	if err != nil {
		return usage{}
	}
	c := stat.CPUTotal
	busy := c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal
	return usage{busy, busy + c.Idle + c.Iowait}
}

// since is the share of the time, 0 to 1, in which the processors were busy.
func (u usage) since(before usage) float64 {
	if u.all <= before.all {
		return 0
	}
	return (u.busy - before.busy) / (u.all - before.all)
}
