package child

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// cpuTick is the precision with which the kernel counts a process's time. It counts the
// time of threads exactly, but only of those that live.
const cpuTick = 20 * time.Millisecond // of user and kernel time together

// CPU returns the processor time that the process has used, in user mode and in
// the kernel. It needs Linux.
func (p *Process) CPU() (time.Duration, error) {
	stat, err := p.stat()
	if err != nil {
		return 0, err
	}
	whole := time.Duration(stat.CPUTime() * float64(time.Second))
	if exact, ok := p.threadsCPU(); ok && exact > whole-cpuTick {
		return exact, nil
	}
	return whole, nil
}

// threadsCPU sums what the living threads have used. A thread that ended is missing
// there, and a kernel may not count it.
func (p *Process) threadsCPU() (sum time.Duration, ok bool) {
	threads, err := procfs.AllThreads(p.PID())
	if err != nil {
		return 0, false
	}
	for _, thread := range threads {
		used, err := thread.Schedstat()
		if err != nil {
			return 0, false
		}
		sum += time.Duration(used.RunningNanoseconds)
	}
	return sum, true
}

// RSS returns how many bytes of the process's memory are resident. It needs Linux.
func (p *Process) RSS() (int64, error) {
	stat, err := p.stat()
	if err != nil {
		return 0, err
	}
	return int64(stat.ResidentMemory()), nil
}

func (p *Process) stat() (procfs.ProcStat, error) {
	proc, err := procfs.NewProc(p.PID())
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("read what process %d uses: %w", p.PID(), err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("read what process %d uses: %w", p.PID(), err)
	}
	return stat, nil
}
