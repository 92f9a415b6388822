package router

import (
	"strconv"
	"sync/atomic"
	"testing"
)

// All that arrives in batches is delivered between the two calls of Gather.
func TestBatchesAreAnnounced(t *testing.T) {
	var bob atomic.Pointer[testSession]
	var before, within atomic.Int64
	c := newCluster(t, 2, func(o *Options) {
		o.Gather = func(on bool) {
			s := bob.Load()
			if s == nil || s.node.opts.NodeID != o.NodeID {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if on {
				before.Store(int64(len(s.got)))
			} else {
				within.Add(int64(len(s.got)) - before.Load())
			}
		}
	})
	bob.Store(c.node(1).connect("bob"))
	const messages = 50
	var out []<-chan Outcome
	for i := range messages {
		out = append(out, c.node(0).sendTo("bob", strconv.Itoa(i)))
	}
	for _, o := range out {
		c.node(0).want(o, Delivered)
	}
	if got := within.Load(); got != messages {
		t.Errorf("%d of %d messages came in batches", got, messages)
	}
}
