package bus

import (
	"context"
	"errors"
	"time"
)

// Bus publishes the batches of one Source and hears channels for Listeners. All methods
// may be called by several goroutines at once, and none while the caller holds a lock that
// its Source or a Listener takes.
type Bus interface {
	// Run keeps the connections that publish until ctx ends, and returns when all that the
	// bus has started for them has ended.
	Run(ctx context.Context)

	// Flush publishes what the Source has, as far as the connections take it, and gives the
	// Source the results that have come since. It does not wait: if another goroutine is
	// flushing, that one goes on for the caller. What finds no room stays with the Source,
	// which is asked again as soon as there is room.
	Flush()

	// Drain publishes what the Source still has, after Run has returned, and waits for the
	// results until ctx ends.
	Drain(ctx context.Context)

	// Publish publishes p beside the Source's batches and waits for the number of its
	// receivers. It is for what is rare: probes.
	Publish(ctx context.Context, p Publication) (receivers int64, err error)

	// PublishAll is Publish for several at once. The results are in the order of all.
	PublishAll(ctx context.Context, all []Publication) []Result

	// Subscribe returns a subscription of channel, which hears once it runs.
	Subscribe(channel string, l Listener) Subscription

	// ResetPublishing makes the connection anew on which channel is published, unless that
	// was done less than a second ago with that to the same server: a peer that it did not
	// reach hears by way of another one, so what it leads to may not be the master any more.
	// why is for the log.
	ResetPublishing(channel string, why error)

	// Reset makes all connections anew that were opened before since, in a Cluster those to
	// the master of channel, unless that was done less than a second ago. why is for the log.
	Reset(ctx context.Context, channel string, since time.Time, why error)

	// Blocked returns for how long nothing could be published for want of a connection;
	// 0 if it can be.
	Blocked() time.Duration
}

// Publication is one PUBLISH.
type Publication struct {
	Channel string
	Payload []byte
	// Tag is given back with the result. A pointer in it costs no allocation.
	Tag any
}

// Result is what became of a Publication.
type Result struct {
	Tag any
	// Receivers is how many subscribers Redis counted.
	Receivers int64
	// Err is what Redis answered, or an error that is ErrLost or ErrMoved.
	Err error
}

var (
	// ErrLost says that the connection ended before the reply: the batch may have been
	// published or not.
	ErrLost = errors.New("the connection to Redis ended before the reply")
	// ErrMoved says that the channel's slot is at another master of the Cluster: the batch
	// was not published. The bus finds the new master for the next.
	ErrMoved = errors.New("the channel's slot has moved to another master")
)

// Source is what has something to publish: the router. The bus calls it while the bus
// holds no lock, Batches from one goroutine at a time.
type Source interface {
	// Batches puts what is to be published into out, in order, as far as out is ready for
	// it, and keeps the rest. It reports whether there is a rest. It does not block.
	Batches(out Outlet) (more bool)
	// Published takes the results of earlier batches, of a channel in the order in which
	// they were put. Each batch has exactly one, unless Run has ended. The slice is only lent.
	Published(results []Result)
}

// Outlet takes batches. It is valid during the call of Batches.
type Outlet interface {
	// Ready reports whether a batch for channel can be put now. That may change at any time:
	// once it is false, a Source that wants the order kept puts no later batch of that
	// channel in the same call.
	Ready(channel string) bool
	// Put takes a batch, whose payload is only lent. It must be ready.
	Put(p Publication)
}

// Listener is told what a Subscription hears, by the one goroutine of its Run.
type Listener interface {
	// Received takes what was published on a channel.
	Received(channel, payload string)
	// Subscribed says that from now on the subscription hears its channel.
	Subscribed()
	// Unsubscribed says that it does not hear any more, or that an attempt to subscribe has
	// failed. why is nil if it was reset or its slot has moved. Run tries again.
	Unsubscribed(why error)
}

// Subscription hears a channel on a connection of its own.
type Subscription interface {
	// Run subscribes and hears until ctx ends, and again whenever the connection fails.
	Run(ctx context.Context)
	// Reset closes the connection. Run makes a new one.
	Reset()
	// Check resets the subscription if nothing has come since the last Check, and else asks
	// Redis to answer something until the next.
	Check(ctx context.Context)
}
