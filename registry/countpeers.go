package registry

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// settleEvery bounds how often the other nodes are looked at.
const settleEvery = 10 * time.Millisecond

// countAllPeers is countPeers for every epoch that is not settled, and reports whether all
// are now.
func (r *Registry) countAllPeers(ctx context.Context) (bool, error) {
	r.mu.Lock()
	unsettled := r.epochs.unsettled()
	r.mu.Unlock()
	var failed error
	for _, master := range unsettled {
		if err := r.countPeers(ctx, master); err != nil {
			failed = err
		}
	}
	return r.AllSettled(), failed
}

// countPeers settles the master's epoch if this node and all other nodes have verified
// their leases in it.
func (r *Registry) countPeers(ctx context.Context, master string) error {
	select {
	case r.countingPeers <- struct{}{}:
		defer func() { <-r.countingPeers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	e, awaits := r.epochs.awaitsPeers(master, time.Now())
	r.mu.Unlock()
	if !awaits {
		return nil
	}
	verified, err := false, error(nil)
	err = r.timed("epoch", func() error {
		verified, err = r.allVerified(ctx, master, &e)
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.epochs.peersRead(master, &e, verified, now) {
		r.overwritten.settledIn = now.Sub(e.detectedAt)
		r.settledChangedLocked()
	}
	return err
}

// allVerified reports whether all nodes had time to be counted, and all that live vouch
// for the epoch.
func (r *Registry) allVerified(ctx context.Context, master string, e *epoch) (bool, error) {
	if !e.peersReturned {
		up, known, err := r.uptime(ctx, master)
		if err != nil {
			return false, err
		}
		if !e.awaitPeers(r.timing, up, known, time.Now()) {
			return false, nil
		}
	}
	return r.peersVerified(ctx, master, e)
}

// uptime returns how long the master is up at least; known is false if it doesn't say.
func (r *Registry) uptime(ctx context.Context, master string) (up time.Duration, known bool, err error) {
	m, err := r.redis.MasterOf(ctx, r.keys.Epoch(master))
	if err != nil {
		return 0, false, err
	}
	text, known, err := info(ctx, m, "server")
	if err != nil || !known {
		return 0, false, err
	}
	up, known = leastUptime(text)
	return up, known, nil
}

// info returns a section of what a master says about itself; known is false if it may not.
func info(ctx context.Context, master redis.UniversalClient, section string) (text string, known bool, err error) {
	text, err = master.Info(ctx, section).Result()
	if refused := redis.Error(nil); errors.As(err, &refused) {
		return "", false, nil
	}
	return text, err == nil, err
}

// leastUptime reads from INFO how long a master is up for certain. Redis takes the
// difference of two times in whole seconds, now and of its start: one that started at the
// end of a second says soon afterwards that it is up for one.
func leastUptime(info string) (up time.Duration, known bool) {
	var fraction time.Duration // of the second that it is now; Redis before 6.2 does not say
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
		case name == "uptime_in_seconds":
			up, known = time.Duration(n)*time.Second, true
		case name == "server_time_usec":
			fraction = time.Duration(n%1e6) * time.Microsecond
		}
	}
	return max(0, up+fraction-time.Second), known
}

// peersVerified reports whether every other node says in its lease that it has verified the
// epoch. Counted are the nodes
//
//   - that subscribe to a private channel, because that survives a flush,
//   - that have a lease, because that survives a failover,
//   - and that were seen to beat so lately that their lease, if it was not lost, lives.
//
// A subscriber without a lease is dead once it had time to write one.
func (r *Registry) peersVerified(ctx context.Context, master string, e *epoch) (bool, error) {
	subscribed, err := r.subscribed(ctx)
	if err != nil {
		return false, err
	}
	list, err := r.listNodes(ctx)
	if err != nil {
		return false, err
	}
	recent := r.seenRecently()
	peers := slices.DeleteFunc(slices.Concat(subscribed, list.ids(), recent), func(id string) bool { return id == r.opts.NodeID })
	says, err := r.vouchesOf(ctx, peers, master+"="+e.id)
	if err != nil {
		return false, err
	}
	missing := func(id string) bool {
		what, isPeer := says[id]
		return isPeer && what < leaseSilent
	}
	mayStillWrite := time.Since(e.detectedAt) < 2*r.timing.NodeTTL()
	if mayStillWrite && slices.ContainsFunc(subscribed, missing) || slices.ContainsFunc(recent, missing) {
		return false, nil
	}
	for _, what := range says {
		if what == leaseSilent {
			return false, nil
		}
	}
	return true, nil
}

// subscribed returns the nodes whose private channels have a subscriber, of each master
// maxNodes at most.
func (r *Registry) subscribed(ctx context.Context) ([]string, error) {
	what := "CHANNELS"
	if r.redis.IsCluster() {
		what = "SHARDCHANNELS"
	}
	var mu sync.Mutex
	var ids []string
	err := r.redis.EachMaster(ctx, func(ctx context.Context, master redis.UniversalClient) error {
		found, err := channelsScript.RunOn(ctx, master, what, r.keys.privateChannels(), len(r.keys.Channel("")), maxNodes).StringSlice()
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, found...)
		return err
	})
	return ids, err
}
