package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// epoch is what this node knows about a master's current epoch.
type epoch struct {
	id      string
	seen    time.Time // first, by this node
	renewed bool      // after an earlier epoch of the master, or after this node had leases
	asked   time.Time // the last time that the master answered with it
	outage  bool      // it began after a time in which nodes' leases may have ended

	untold   bool      // Events.OnDataLost was not called yet
	verified bool      // this node verified its leases since
	ripe     bool      // the master is up long enough for peers to have reconnected
	tried    time.Time // last look at the peers
	lost     bool      // somebody has overwritten data: another one is to begin (rubbish.go)
	settled  time.Time // zero until every peer has verified
}

// see takes note of a master's epoch as epoch.lua returned it. A new one, unless
// it is the first and this node has no leases, ends what was known before: at once
// nothing counts as settled, then Events.OnDataLost is called, and only then the
// refresher may verify all leases.
func (r *Registry) see(master, id string) {
	r.mu.Lock()
	known := r.epochs[master]
	now := time.Now()
	if known != nil && known.id == id {
		known.asked = now
		r.mu.Unlock()
		return
	}
	disturbed := known != nil || r.wheel.count > 0
	e := &epoch{id: id, seen: now, asked: now, renewed: disturbed, untold: disturbed, verified: !disturbed}
	e.outage = known != nil && now.Sub(known.asked) >= r.timing.silence()
	r.epochs[master] = e
	r.updateSettled()
	r.mu.Unlock()
	if disturbed {
		r.metrics.EpochChanges.Inc()
		r.events.OnDataLost()
		r.log.Warn("Redis may have lost data (flushed, restarted or failed over): all leases are verified", "epoch", id)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if disturbed {
		e.untold = false
		r.refresher.hasten()
	}
	r.refresher.nudge()
}

// updateSettled makes known what changed in epochs. The caller holds mu.
func (r *Registry) updateSettled() {
	settled := len(r.epochs) > 0
	for _, e := range r.epochs {
		settled = settled && !e.settled.IsZero()
	}
	r.undisturbed.Store(settled)
	r.changes++
	r.metrics.Settled.Set(0)
	if settled {
		r.metrics.Settled.Set(1)
	}
	close(r.epochsChanged)
	r.epochsChanged = make(chan struct{})
}

// tellSettled logs when what is not in the registry begins and ends to prove nothing,
// until ctx ends. The first time is the node's start.
func (r *Registry) tellSettled(ctx context.Context) {
	level, was, since := slog.LevelDebug, false, time.Now()
	for {
		r.mu.Lock()
		settled, changed := r.undisturbed.Load(), r.epochsChanged
		r.mu.Unlock()
		switch {
		case settled && !was:
			r.log.Log(ctx, level, "registry is settled: all nodes have verified their leases", "after", time.Since(since).Round(time.Millisecond))
			level = slog.LevelInfo
		case was && !settled:
			since = time.Now()
			r.log.Warn("registry is not settled: until all nodes have verified their leases, nobody is welcomed or called offline")
		}
		was = settled
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// settledIn tells whether id is the last seen epoch of master, and settled. The
// caller holds mu.
func (r *Registry) settledIn(master, id string) bool {
	return id != "" && r.settledEpoch(master) == id
}

// settledEpoch returns the last seen epoch of master if it is settled, else "". The
// caller holds mu.
func (r *Registry) settledEpoch(master string) string {
	if master == everyMaster {
		if r.undisturbed.Load() {
			return r.everyEpoch()
		}
	} else if e := r.epochs[master]; e != nil && !e.settled.IsZero() {
		return e.id
	}
	return ""
}

// stillSettled tells whether the epoch that c ran in is settled and the last one
// seen.
func (r *Registry) stillSettled(c *claim) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settledIn(c.master, c.epoch)
}

// awaitSettled returns when the last seen epoch of a master is settled.
func (r *Registry) awaitSettled(ctx context.Context, master string) error {
	for {
		r.mu.Lock()
		settled, changed := r.settledEpoch(master), r.epochsChanged
		r.mu.Unlock()
		if settled != "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnsettled, context.Cause(ctx))
		}
	}
}

// epochCall reads a master's epoch, or begins it.
func (r *Registry) epochCall(master string) *redisconn.Call { return r.epochCallAfter(master, "") }

// epochCallAfter is epochCall, and ends the epoch that has lost data, if there is one.
func (r *Registry) epochCallAfter(master, lost string) *redisconn.Call {
	return epochScript.Call([]string{r.keys.Epoch(master)}, rand.Text(), r.silence().Milliseconds(), lost)
}

// silence is how long a master may go unasked for its epoch: no shorter than the nodes of
// the cluster allow, to which this one yields if they have another heartbeat. It has to end
// no epoch of theirs.
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

// seeAll takes note of what calls, by master, returned. The error is one of
// theirs.
func (r *Registry) seeAll(calls map[string]*redisconn.Call) error {
	var failed error
	for master, c := range calls {
		if _, err := r.seeAnswer(master, c); err != nil {
			failed = err
		}
	}
	return failed
}

func (r *Registry) seeAnswer(master string, c *redisconn.Call) (id string, err error) {
	id, was, err := readEpoch(c)
	if err != nil {
		return "", err
	}
	if was != "" {
		r.tellRubbish(r.keys.Epoch(master), was)
	}
	r.see(master, id)
	return id, nil
}

// readEpoch reads what epoch.lua answered: the ID, and what the key was if it was none of
// beeline's.
func readEpoch(c *redisconn.Call) (id, was string, err error) {
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

// lookAt asks a master for its epoch.
func (r *Registry) lookAt(ctx context.Context, master string) (id string, err error) {
	if master == everyMaster {
		return r.survey(ctx)
	}
	c := r.epochCall(master)
	if err := r.timed("epoch", func() error { return r.redis.Run(ctx, []*redisconn.Call{c}) }); err != nil {
		return "", fmt.Errorf("read epoch: %w", err)
	}
	if id, err = r.seeAnswer(master, c); err != nil {
		return "", fmt.Errorf("read epoch: %w", err)
	}
	return id, nil
}

// keepMasters forgets the epochs of tags that are no master's any more.
func (r *Registry) keepMasters(tags []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for tag := range r.epochs {
		if !slices.Contains(tags, tag) {
			delete(r.epochs, tag)
			r.updateSettled()
		}
	}
}

// vouched lists the epochs in which this node has verified its leases, in the
// form of the node lease: "tag=id,tag=id".
func (r *Registry) vouched() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var pairs []string
	for tag, e := range r.epochs {
		if e.verified {
			pairs = append(pairs, tag+"="+e.id)
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}
