package registry

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// everyMaster stands for all masters where one has a tag: it is settled if all are, and
// in another epoch after each change of one of theirs. It is who vouches in a Cluster
// whose slots move: nobody knows then which master has answered, and one that has lost
// its data may have given away the slot before anybody noticed.
const everyMaster = ""

// everyEpoch is the epoch of all masters. The caller holds mu.
func (r *Registry) everyEpoch() string { return strconv.FormatUint(r.changes, 10) }

// survey asks all masters for their epochs. If slots move meanwhile, it returns no epoch:
// perhaps not all were asked.
func (r *Registry) survey(ctx context.Context) (epoch string, err error) {
	before := r.redis.SlotShifts()
	tags, err := r.masters.find(ctx)
	if err != nil {
		return "", fmt.Errorf("read all epochs: %w", err)
	}
	r.keepMasters(tags)
	byTag, calls := r.epochCalls(tags)
	if err := r.timed("epoch", func() error { return r.redis.Run(ctx, calls) }); err != nil {
		return "", fmt.Errorf("read all epochs: %w", err)
	}
	if err := r.seeAll(byTag); err != nil {
		return "", fmt.Errorf("read all epochs: %w", err)
	}
	if r.redis.SlotShifts().Moves != before.Moves {
		return "", nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.undisturbed.Load() {
		r.surveyed = before.Moves
	}
	return r.everyEpoch(), nil
}

// slotsRested tells whether an address's master alone vouches for what it was asked for
// since then: no slot has moved, or was moving, and what moved before was surveyed.
func (r *Registry) slotsRested(then redisconn.SlotShifts) bool {
	now := r.redis.SlotShifts()
	r.mu.Lock()
	defer r.mu.Unlock()
	return now == then && now.Moves == r.surveyed
}

// slotsRest is slotsRested since a while ago.
func (r *Registry) slotsRest(ago time.Duration) bool {
	return r.redis.SlotsCalmSince(time.Now().Add(-ago)) && r.slotsRested(r.redis.SlotShifts())
}
