package task

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"
)

// Real is the Runtime that nodes run on: goroutines and package time.
type Real struct{}

// Now returns time.Now.
func (Real) Now() time.Time { return time.Now() }

// Rand returns what the operating system's seed makes of ChaCha8.
func (Real) Rand() uint64 { return rand.Uint64() }

// Go starts a goroutine.
func (Real) Go(f func()) { go f() }

// AfterFunc returns a timer of package time.
func (Real) AfterFunc(d time.Duration, f func()) Timer { return realTimer{time.AfterFunc(d, f)} }

// Sleep waits for d or ctx.
func (Real) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		runtime.Gosched()
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// WithCancel returns a context of package context.
func (Real) WithCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

// WithTimeout returns a context of package context.
func (Real) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

// NewSignal returns a channel of one.
func (Real) NewSignal() Signal { return make(realSignal, 1) }

type realTimer struct{ timer *time.Timer }

func (t realTimer) Reset(d time.Duration) { t.timer.Reset(d) }
func (t realTimer) Stop()                 { t.timer.Stop() }

type realSignal chan struct{}

func (s realSignal) Set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

func (s realSignal) Wait(ctx context.Context) error {
	select {
	case <-s:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
