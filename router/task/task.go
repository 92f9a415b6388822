package task

import (
	"context"
	"time"
)

// Runtime is the time and the concurrency of one node. All methods may be called by
// several tasks at once.
type Runtime interface {
	// Now returns the node's time. Its wall clock may jump, as every node's may; the
	// difference between two of its times is what has passed.
	Now() time.Time
	// Rand returns 64 random bits that nobody else can guess.
	Rand() uint64
	// Go starts a task that runs f. Whoever starts it finds a way of its own to know
	// when it has ended.
	Go(f func())
	// AfterFunc has f called after d, as a task of its own. It must not block.
	AfterFunc(d time.Duration, f func()) Timer
	// Sleep waits for d, or until ctx ends: then it returns the context's cause. With d
	// of 0 or less it lets other tasks run.
	Sleep(ctx context.Context, d time.Duration) error
	// WithCancel returns a context that ends with ctx, or when cancel is called.
	WithCancel(ctx context.Context) (context.Context, context.CancelFunc)
	// WithTimeout returns a context that ends with ctx, after d, or when cancel is called.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
	// NewSignal returns a Signal that is not set.
	NewSignal() Signal
}

// Timer calls its function once after each Reset, as a task of its own.
type Timer interface {
	// Reset has the function called after d from now, and not at the time set before.
	Reset(d time.Duration)
	// Stop has it not called, unless its task has begun.
	Stop()
}

// Signal is a binary semaphore: it is set or it is not. What has happened is kept
// elsewhere, under a lock; the Signal says that there is something to look at. Set once
// at its beginning, it is a lock that may be held over a call that blocks: Wait takes
// it, Set gives it back.
type Signal interface {
	// Set sets it, and never blocks. It remains set until one Wait has taken it.
	Set()
	// Wait waits until it is set, takes that and returns nil; or it returns the cause
	// of ctx when that ends first.
	Wait(ctx context.Context) error
}
