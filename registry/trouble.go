package registry

import (
	"context"
	"errors"
	"fmt"
)

// Trouble says why Redis would not take a claim now, as far as is known: the last claim,
// or heartbeat, failed. After the next that succeeds it is nil. A node with Trouble is not
// ready, so no client claims there; then Beat makes a claim of its own, of an address that
// no client can have.
func (r *Registry) Trouble() error {
	if err := r.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// noteTrouble takes how a claim or a heartbeat ended. One that its caller gave up says
// nothing.
func (r *Registry) noteTrouble(err error) {
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil:
		r.trouble.Store(nil)
	default:
		said := fmt.Errorf("Redis did not take the last claim or heartbeat: %s", quoted(err.Error()))
		r.trouble.Store(&said)
	}
}

// tryClaim makes a claim, and releases it, if the last one failed.
func (r *Registry) tryClaim(ctx context.Context) error {
	if r.trouble.Load() == nil {
		return nil
	}
	var c calls
	token := r.tokens.Add(1)
	address := "$trial/" + r.opts.NodeID
	c.begin(claimScript, 1, 6)
	c.key(r.keys, address)
	for _, v := range []any{r.opts.NodeID, r.timing.LeaseTTL().Milliseconds(), string(Allow), "new", MaxOwners} {
		c.value(v)
	}
	c.token(token)
	c.begin(releaseScript, 1, 2)
	c.key(r.keys, address)
	c.value(r.opts.NodeID)
	c.token(token)
	return r.redis.Run(ctx, c.list)
}
