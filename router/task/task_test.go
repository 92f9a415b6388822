package task

import (
	"context"
	"errors"
	"testing"
	"time"
)

var errEnough = errors.New("enough")

func ended() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errEnough)
	return ctx
}

// A signal is set or it is not: what is set twice is taken once.
func TestSignalIsTakenOnce(t *testing.T) {
	s := Real{}.NewSignal()
	s.Set()
	s.Set()
	if err := s.Wait(t.Context()); err != nil {
		t.Fatalf("Wait after Set: %v", err)
	}
	if err := s.Wait(ended()); !errors.Is(err, errEnough) {
		t.Errorf("Wait after what was set was taken: %v, want the context's cause", err)
	}
}

// Whoever waits is woken by what another task sets.
func TestSignalWakesTheOneThatWaits(t *testing.T) {
	r := Real{}
	s, back := r.NewSignal(), r.NewSignal()
	r.Go(func() {
		_ = s.Wait(context.Background())
		back.Set()
	})
	s.Set()
	if err := back.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A timer calls after each Reset, and not once it is stopped.
func TestTimerCallsAfterEachReset(t *testing.T) {
	r := Real{}
	s := r.NewSignal()
	timer := r.AfterFunc(time.Millisecond, s.Set)
	for range 2 {
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		timer.Reset(time.Millisecond)
	}
	_ = s.Wait(t.Context())
	timer.Reset(time.Hour)
	timer.Stop()
	if err := s.Wait(ended()); err == nil {
		t.Error("a stopped timer has called")
	}
}

// Sleep ends with its context, and with none or less to sleep lets others run.
func TestSleepEndsWithItsContext(t *testing.T) {
	r := Real{}
	if err := r.Sleep(ended(), time.Hour); !errors.Is(err, errEnough) {
		t.Errorf("Sleep in an ended context: %v", err)
	}
	if err := r.Sleep(ended(), 0); !errors.Is(err, errEnough) {
		t.Errorf("Sleep of nothing in an ended context: %v", err)
	}
	ctx, cancel := r.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := r.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sleep beyond a deadline: %v", err)
	}
	if err := r.Sleep(t.Context(), 0); err != nil {
		t.Errorf("Sleep of nothing: %v", err)
	}
}
