package router

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
)

// BenchmarkParallelSend measures a message from Send to its outcome, where many event loops
// send at once, each for clients of its own. With -mutexprofile it shows where they meet.
func BenchmarkParallelSend(b *testing.B) {
	b.Run("local", func(b *testing.B) { benchParallelSend(b, 0) })
	b.Run("cached", func(b *testing.B) { benchParallelSend(b, 1) })
}

// benchReceivers is how many receivers each event loop sends to.
const benchReceivers = 16

func benchParallelSend(b *testing.B, owner int) {
	b.ReportAllocs()
	c := newCluster(b, 2, nil)
	r := c.node(0).Router
	var loops atomic.Int64
	before := processorTime(b)
	b.RunParallel(func(pb *testing.PB) {
		loop := loops.Add(1)
		var receivers [benchReceivers]string
		for i := range receivers {
			receivers[i] = fmt.Sprint("receiver", loop, "-", i)
			if err := c.node(owner).Join(b.Context(), receivers[i], sink{}); err != nil {
				b.Error(err)
				return
			}
		}
		slots := make(chan struct{}, 128)
		done := func(MessageID, Outcome) { <-slots }
		m := Message{From: "sender" + strconv.FormatInt(loop, 10), Data: benchMessage.Data, Receipt: true}
		for i := 0; pb.Next(); i++ {
			slots <- struct{}{}
			m.To = receivers[i%benchReceivers]
			r.Send(m, done)
			if i%benchTurn == 0 || len(slots) == cap(slots) {
				r.Flush()
			}
		}
		r.Flush()
		for range cap(slots) {
			slots <- struct{}{}
		}
	})
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}
