package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/prometheus/procfs"
)

// errEndedAtOnce is what a child does that can't use what it was given.
var errEndedAtOnce = errors.New("it ended at once")

// Process is a child of this program. Any goroutine may call its methods.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	state  error // of Wait, set before exited is closed
}

// startProcess starts cmd. The thread that starts a child must live as long as the
// child: Linux takes the thread's end for the parent's death.
func startProcess(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = childAttributes()
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.state = cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// PID returns the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal. It fails once the process has ended.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err tells, once Exited is closed, how the process ended: nil is an exit with 0.
func (p *Process) Err() error { return p.state }

// Kill ends the process as a power cut would, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.exited
}

// Stop asks the process to end, insists when ctx ends, and returns when it is gone.
func (p *Process) Stop(ctx context.Context) {
	if err := p.Signal(stopSignal); err != nil {
		_ = p.cmd.Process.Kill() // gone, or this system has no such signal
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.Kill()
	}
}

// cpuTick is how exactly the kernel tells what a process has used. What its threads
// have used is told exactly, but only of those that live.
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
