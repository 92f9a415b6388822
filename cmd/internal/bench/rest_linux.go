package bench

import (
	"syscall"
	"time"
)

// prSetTimerSlack is PR_SET_TIMERSLACK of prctl(2).
const prSetTimerSlack = 29

// sharpen makes this thread's sleeps exact: the kernel gathers timers otherwise.
func sharpen() { _, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0) }

// rest sleeps in the kernel, which wakes more exactly than Go's timers.
func rest(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // woken early, it is called again
}
