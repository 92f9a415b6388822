package router

import (
	"context"
	"time"

	"github.com/beeline-ws/beeline/router/bus"
)

// receipt is what became of an external publisher's message, on its way to it.
type receipt struct {
	channel string
	payload []byte
}

const (
	// maxReceipts is how many receipts wait to be published, each of about 1 KiB at
	// the most.
	maxReceipts = 1 << 13
	// receiptsAtOnce is how many share a round trip.
	receiptsAtOnce = 512
)

// queue has a receipt published. Beyond maxReceipts it is dropped: Redis does not
// take them as fast as publishers send.
func (in *inlet) queue(x receipt) {
	in.mu.Lock()
	full := len(in.receipts) >= maxReceipts
	if !full {
		in.receipts = append(in.receipts, x)
	}
	in.mu.Unlock()
	if full {
		in.r.m.ExternalReceipts.WithLabelValues(receiptDropped).Inc()
		return
	}
	in.due.Set()
}

// What became of receipts: a metric label.
const (
	receiptPublished = "published"
	receiptFailed    = "failed"
	receiptDropped   = "dropped"
)

// runReceipts publishes receipts, as many at once as wait.
func (in *inlet) runReceipts(ctx context.Context) {
	for in.due.Wait(ctx) == nil {
		in.publishReceipts(ctx)
	}
}

// publishReceipts publishes what waits. A receipt that Redis does not take is not
// tried again: it may have been heard.
func (in *inlet) publishReceipts(ctx context.Context) {
	for ctx.Err() == nil {
		in.mu.Lock()
		n := min(len(in.receipts), receiptsAtOnce)
		batch := in.receipts[:n:n]
		if in.receipts = in.receipts[n:]; len(in.receipts) == 0 {
			in.receipts = nil
		}
		in.mu.Unlock()
		if n == 0 {
			return
		}
		in.publish(ctx, batch)
	}
}

func (in *inlet) publish(ctx context.Context, batch []receipt) {
	ctx, cancel := in.r.runtime.WithTimeout(ctx, bus.ReplyTimeout)
	defer cancel()
	all := make([]bus.Publication, len(batch))
	for i, x := range batch {
		all[i] = bus.Publication{Channel: x.channel, Payload: x.payload}
	}
	failed := 0
	for _, result := range in.r.bus.PublishAll(ctx, all) {
		if result.Err != nil {
			failed++
		}
	}
	in.r.m.ExternalReceipts.WithLabelValues(receiptFailed).Add(float64(failed))
	in.r.m.ExternalReceipts.WithLabelValues(receiptPublished).Add(float64(len(batch) - failed))
}

// rest publishes the receipts of messages that were concluded when the router stopped.
func (in *inlet) rest(ctx context.Context) {
	ctx, cancel := in.r.runtime.WithTimeout(ctx, time.Second)
	defer cancel()
	in.publishReceipts(ctx)
}
