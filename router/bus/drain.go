package bus

import (
	"bytes"
	"context"

	"github.com/redis/go-redis/v9"
)

// drain publishes what the Source has left by PublishAll.
func drain(ctx context.Context, b Bus, source Source) {
	for more := true; more && ctx.Err() == nil; {
		var c collector
		more = source.Batches(&c)
		if len(c.all) == 0 {
			return
		}
		source.Published(b.PublishAll(ctx, c.all))
	}
}

// collector is an Outlet that keeps what it takes, up to maxOut bytes about.
type collector struct {
	all  []Publication
	size int
}

// Ready reports whether there is room: see Outlet.
func (c *collector) Ready(string) bool { return c.size < maxOut }

// Put keeps a batch, with a copy of its payload: see Outlet.
func (c *collector) Put(p Publication) {
	p.Payload = bytes.Clone(p.Payload)
	c.all = append(c.all, p)
	c.size += len(p.Payload)
}

// publishAll publishes all in a pipeline, with one of its methods.
func publishAll(ctx context.Context, pipe redis.Pipeliner, all []Publication,
	publish func(ctx context.Context, channel string, payload any) *redis.IntCmd,
) []Result {
	replies := make([]*redis.IntCmd, len(all))
	for i := range all {
		replies[i] = publish(ctx, all[i].Channel, all[i].Payload)
	}
	_, _ = pipe.Exec(ctx) // each command has an error of its own
	results := make([]Result, len(all))
	for i := range all {
		n, err := replies[i].Result()
		results[i] = Result{Tag: all[i].Tag, Receivers: n, Err: err}
	}
	return results
}
