package standstill

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyAPauseIsAStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing is late
		began := time.Now()
		w := Start()
		defer w.Stop()
		time.Sleep(time.Minute)
		if w.Since(began) {
			t.Error("the machine stood still")
		}
		w.mu.Lock()
		w.seen = w.seen.Add(-time.Second) // as if it had
		w.mu.Unlock()
		if !w.Since(time.Now()) || w.Since(time.Now().Add(1)) {
			t.Error("the machine has not stood still just now")
		}
	})
}
