package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

var errStoppedAtOnce = errors.New("second signal: stopped at once")

// untilSignal runs f with a context that ends with ctx or at the first SIGINT or
// SIGTERM, and waits for f to return. At a second signal it waits no longer.
func untilSignal(ctx context.Context, f func(context.Context) error) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- f(running) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	case <-signals:
	}
	stop()
	select {
	case err := <-ended:
		return err
	case <-signals:
		return errStoppedAtOnce
	}
}
