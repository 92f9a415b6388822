package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

var errStoppedAtOnce = errors.New("second signal: stopped at once")

// repeatTime is how soon after the first signal another one is not yet a second
// one: a terminal or a supervisor may send the same wish twice, to the process and
// to its group.
const repeatTime = time.Second

// signals is how a command that stays obeys SIGINT, SIGTERM and SIGHUP.
type signals struct {
	log *slog.Logger // told of what is obeyed and what is not; nil: nobody is
	// hangup is what a SIGHUP is for. Without it, it stops the command as a
	// terminal that was closed does.
	hangup func()
	now    func() time.Time
}

// untilSignal runs f with a context that ends with ctx or at the first SIGINT,
// SIGTERM or, without s.hangup, SIGHUP, and waits for f to return. At a second
// signal, unless it comes within repeatTime, it waits no longer.
func untilSignal(ctx context.Context, s signals, f func(context.Context) error) error {
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	received := make(chan os.Signal, 4)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(received)
	return s.obey(ctx, received, f)
}

func (s signals) obey(ctx context.Context, received <-chan os.Signal, f func(context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- f(running) }()
	var first time.Time // zero while nobody has asked to stop
	for {
		select {
		case err := <-ended:
			return err
		case got := <-received:
			switch {
			case got == syscall.SIGHUP && s.hangup != nil:
				s.hangup()
			case first.IsZero():
				first = s.now()
				s.log.Info("stopping", "signal", got.String())
				stop()
			case s.now().Sub(first) < repeatTime:
				s.log.Info("signal ignored: it came within a second of the first", "signal", got.String())
			default:
				return errStoppedAtOnce
			}
		}
	}
}
