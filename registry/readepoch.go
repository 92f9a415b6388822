package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// noteEpoch takes a master's epoch as epoch.lua returned it. A new one ends what was known
// before: at once nothing counts as settled, then Events.OnDataLost is called, and only
// then the refresher may verify all leases (see epochState).
func (r *Registry) noteEpoch(master, id string) {
	r.mu.Lock()
	e := r.epochs.read(master, id, r.wheel.count > 0, time.Now())
	if e == nil {
		r.mu.Unlock()
		return
	}
	afterLoss := e.afterLoss
	r.settledChangedLocked()
	r.mu.Unlock()
	if afterLoss {
		r.metrics.EpochChanges.Inc()
		r.events.OnDataLost()
		r.log.Warn("Redis may have lost data (flushed, restarted or failed over): all leases are verified", "epoch", id)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if afterLoss {
		r.epochs.on(lossTold, master, id, time.Now())
		r.refresher.verifyAtOnceLocked()
	}
	r.refresher.signal()
}

// epochCall reads a master's epoch, or begins it.
func (r *Registry) epochCall(master string) *redisconn.Call { return r.epochCallAfter(master, "") }

// epochCallAfter is epochCall, and ends the epoch that has lost data, if there is one.
func (r *Registry) epochCallAfter(master, lost string) *redisconn.Call {
	return epochScript.Call([]string{r.keys.Epoch(master)}, rand.Text(), r.silence().Milliseconds(), lost)
}

// silence is how long a master may go unasked for its epoch: no shorter than the nodes of
// the cluster allow, to which this one yields if they have another heartbeat. It must not
// end an epoch of theirs.
func (r *Registry) silence() time.Duration {
	return max(r.timing.silence(), time.Duration(r.theirSilence.Load()))
}

// epochCalls reads the epochs of masters.
func (r *Registry) epochCalls(masters []string) (byMaster map[string]*redisconn.Call, list []*redisconn.Call) {
	byMaster = make(map[string]*redisconn.Call, len(masters))
	for _, master := range masters {
		byMaster[master] = r.epochCall(master)
		list = append(list, byMaster[master])
	}
	return byMaster, list
}

// noteEpochAnswers takes the answers to calls, by master. The error is one of theirs.
func (r *Registry) noteEpochAnswers(calls map[string]*redisconn.Call) error {
	var failed error
	for master, c := range calls {
		if _, err := r.noteEpochAnswer(master, c); err != nil {
			failed = err
		}
	}
	return failed
}

func (r *Registry) noteEpochAnswer(master string, c *redisconn.Call) (id string, err error) {
	id, was, err := parseEpoch(c)
	if err != nil {
		return "", err
	}
	if was != "" {
		r.logOverwritten(r.keys.Epoch(master), was)
	}
	r.noteEpoch(master, id)
	return id, nil
}

// parseEpoch reads what epoch.lua answered: the ID, and what the key was if it was none of
// beeline's.
func parseEpoch(c *redisconn.Call) (id, was string, err error) {
	reply, err := c.Cmd.StringSlice()
	switch {
	case err != nil:
		return "", "", err
	case len(reply) == 0 || reply[0] == "":
		return "", "", errMalformed
	case len(reply) > 1:
		was = reply[1]
	}
	return reply[0], was, nil
}

// readEpoch asks a master for its epoch.
func (r *Registry) readEpoch(ctx context.Context, master string) (id string, err error) {
	if master == allMasters {
		return r.readAllEpochs(ctx)
	}
	c := r.epochCall(master)
	if err := r.timed("epoch", func() error { return r.redis.Run(ctx, []*redisconn.Call{c}) }); err != nil {
		return "", fmt.Errorf("read epoch: %w", err)
	}
	if id, err = r.noteEpochAnswer(master, c); err != nil {
		return "", fmt.Errorf("read epoch: %w", err)
	}
	return id, nil
}

// readAllEpochs asks all masters for their epochs, and returns that of allMasters. If slots
// move meanwhile, it returns none: perhaps not all were asked.
func (r *Registry) readAllEpochs(ctx context.Context) (id string, err error) {
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
	if err := r.noteEpochAnswers(byTag); err != nil {
		return "", fmt.Errorf("read all epochs: %w", err)
	}
	if r.redis.SlotShifts().Moves != before.Moves {
		return "", nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epochs.allRead(before.Moves)
	return r.epochs.ofAll(), nil
}

// keepMasters forgets the epochs of tags that are no master's any more.
func (r *Registry) keepMasters(tags []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epochs.keep(tags) {
		r.settledChangedLocked()
	}
}

// slotsRested reports whether an address's master alone vouches for what it was asked for
// since then: no slot has moved, or was moving, and after the last move all epochs were
// read.
func (r *Registry) slotsRested(then redisconn.SlotShifts) bool {
	now := r.redis.SlotShifts()
	r.mu.Lock()
	defer r.mu.Unlock()
	return now == then && now.Moves == r.epochs.slotMoves
}

// slotsRestedFor is slotsRested since a while ago.
func (r *Registry) slotsRestedFor(d time.Duration) bool {
	return r.redis.SlotsCalmSince(time.Now().Add(-d)) && r.slotsRested(r.redis.SlotShifts())
}
