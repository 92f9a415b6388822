package main

import (
	"testing"
	"testing/synctest"
	"time"
)

const (
	standstillTick = 50 * time.Millisecond
	// standstillLate is by how much a tick may be late until the machine counts as having
	// stood still. Nodes miss heartbeats' probes after two seconds, and messages their
	// deadline after five.
	standstillLate = 500 * time.Millisecond
)

// watchStandstill watches whether this process gets to run at all, as those that it has
// started. What it returns ends that and reports whether the machine stood still.
func watchStandstill() (ended func() bool) {
	stop, result := make(chan struct{}), make(chan bool)
	go func() {
		still := false
		for last := time.Now(); ; {
			stopped := false
			select {
			case <-stop:
				stopped = true
			case <-time.After(standstillTick):
			}
			now := time.Now()
			still = still || now.Sub(last) > standstillTick+standstillLate
			last = now
			if stopped {
				result <- still
				return
			}
		}
	}()
	return func() bool {
		close(stop)
		return <-result
	}
}

func TestOnlyAPauseIsAStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing is late
		ended := watchStandstill()
		time.Sleep(time.Minute)
		if ended() {
			t.Error("the machine stood still")
		}
	})
}
