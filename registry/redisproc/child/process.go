package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// ErrEndedAtOnce is the error of a child that ended before it did what it was started
// for: mostly it can't use its arguments.
var ErrEndedAtOnce = errors.New("it ended at once")

// Process is a child of this program. Any goroutine may call its methods.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	state  error // of Wait, set before exited is closed
}

// Start starts cmd. The thread that starts a child must live as long as the child,
// because Linux takes the thread's end for the parent's death; so a goroutine that is
// locked to its thread starts the child and waits for its end.
func Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = attributes()
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

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Err returns, once Exited is closed, how the process ended: nil is an exit with 0.
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
