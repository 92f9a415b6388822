package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// handClock is a clock that the test sets.
type handClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// A terminal and a supervisor may both send the same wish: the second signal stops
// at once only if it comes a moment after the first.
func TestSecondSignalWithinAMomentIsTheFirst(t *testing.T) {
	clock := &handClock{at: time.Unix(1000, 0)}
	received, stopping, end := make(chan os.Signal), make(chan struct{}), make(chan struct{})
	defer close(end)
	result, hungUp := make(chan error, 1), make(chan struct{})
	go func() {
		s := signals{log: slog.New(slog.DiscardHandler), now: clock.now, hangup: func() { hungUp <- struct{}{} }}
		result <- s.obey(t.Context(), received, func(ctx context.Context) error {
			<-ctx.Done()
			close(stopping)
			<-end // stopping takes as long as this test
			return nil
		})
	}()
	received <- syscall.SIGTERM
	<-stopping
	received <- syscall.SIGINT // at the same moment
	clock.advance(repeatTime - time.Millisecond)
	received <- syscall.SIGTERM
	received <- syscall.SIGHUP // is taken when the clock was looked at for the one before
	<-hungUp
	clock.advance(time.Millisecond)
	select {
	case err := <-result:
		t.Fatalf("stopped at once: %v", err)
	default:
	}
	received <- syscall.SIGTERM
	if err := <-result; !errors.Is(err, errStoppedAtOnce) {
		t.Errorf("the second signal: %v", err)
	}
}

func TestHangupStopsOnlyWhatHasNoUseForIt(t *testing.T) {
	var log bytes.Buffer
	received, hungUp := make(chan os.Signal, 2), make(chan struct{}, 1)
	s := signals{log: slog.New(slog.NewTextHandler(&log, nil)), now: time.Now}
	received <- syscall.SIGHUP
	if err := s.obey(t.Context(), received, untilTold); err != nil {
		t.Errorf("a command without a use for it: %v", err)
	}
	wantContains(t, log.String(), "stopping", "hangup")

	s.hangup = func() { hungUp <- struct{}{} }
	ctx, cancel := context.WithCancel(t.Context())
	received <- syscall.SIGHUP
	ended := make(chan error)
	go func() { ended <- s.obey(ctx, received, untilTold) }()
	<-hungUp
	select {
	case err := <-ended:
		t.Errorf("SIGHUP stopped it: %v", err)
	default:
	}
	cancel()
	<-ended
}

func untilTold(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
