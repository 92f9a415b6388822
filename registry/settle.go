package registry

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// minUptime is how long a master must be up before its list of channels
	// counts: nodes that started before it need a moment to connect.
	minUptime = time.Second
	// settleEvery bounds how often the peers are looked at.
	settleEvery = 10 * time.Millisecond
)

// ConfirmAbsent reports whether the empty answer to a lookup of address proves that nobody
// owns it. The lookup must have been sent before the call, by not more than half a
// heartbeat. It costs one command on address's Redis master while all is well; calls
// at the same time share it.
func (r *Registry) ConfirmAbsent(ctx context.Context, address string) (bool, error) {
	master, id, err := r.vouching(ctx, r.keys.Address(address))
	if err != nil {
		return false, err
	}
	if r.proves(master, id) {
		return true, nil
	}
	if err := r.settle(ctx, master); err != nil {
		return false, err
	}
	return r.proves(master, id), nil
}

// ConfirmUnreceived reports whether a PUBLISH on a node's private channel, made after since,
// that returned 0 proves that the node did not receive it. Right after a failover it
// does not: the node may still be subscribed to the former master, if that became a
// replica. The node finds that out by its beats within the life of a node lease, or has
// no lease any more.
func (r *Registry) ConfirmUnreceived(ctx context.Context, node string, since time.Time) (bool, error) {
	key := r.keys.Channel(node)
	master, id, err := r.vouching(ctx, key)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	settled := r.settledIn(master, id)
	young := r.anyEpoch(master, func(e *epoch) bool { return since.Sub(e.seen) < r.timing.NodeTTL() })
	r.mu.Unlock()
	if !settled || !young {
		return settled, nil
	}
	return r.alone(ctx, master, key)
}

// alone tells whether the master that holds key, or for everyMaster each of them all, has
// no replicas, and was none itself as far as it knows: it does not keep the replication ID
// of a former master, which it forgets when it is started again.
func (r *Registry) alone(ctx context.Context, master, key string) (bool, error) {
	var company atomic.Bool
	look := func(ctx context.Context, m redis.UniversalClient) error {
		text, _, err := info(ctx, m, "replication")
		for _, want := range []string{"role:master\r", "connected_slaves:0\r", "second_repl_offset:-1\r"} {
			if !strings.Contains(text, want) {
				company.Store(true)
			}
		}
		return err
	}
	if master == everyMaster {
		err := r.redis.EachMaster(ctx, look)
		return err == nil && !company.Load(), err
	}
	m, err := r.redis.MasterOf(ctx, key)
	if err == nil {
		err = look(ctx, m)
	}
	return err == nil && !company.Load(), err
}

// anyEpoch tells whether one of the epochs that master stands for is such. The caller holds
// mu.
func (r *Registry) anyEpoch(master string, such func(*epoch) bool) bool {
	for m, e := range r.epochs {
		if (m == master || master == everyMaster) && such(e) {
			return true
		}
	}
	return false
}

// vouching returns who vouches for what Redis has answered about key in the last half of a
// heartbeat, and the epoch it is in.
func (r *Registry) vouching(ctx context.Context, key string) (master, epoch string, err error) {
	if master, err = r.masters.tag(ctx, key); err != nil {
		return "", "", err
	}
	epoch, err = r.ask(ctx, master)
	if err == nil && !r.slotsRest(r.timing.Heartbeat/2) { // the answer may have been redirected
		master = everyMaster
		epoch, err = r.ask(ctx, master)
	}
	return master, epoch, err
}

// proves tells whether the epoch is settled, and, if data was lost before it,
// since so long that a lookup made before it settled is no longer on its way.
func (r *Registry) proves(master, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settledIn(master, id) && !r.anyEpoch(master, func(e *epoch) bool {
		return e.renewed && time.Since(e.settled) < r.timing.Heartbeat/2
	})
}

// AllSettled reports, without asking Redis, whether the last seen epochs of all masters
// are settled.
func (r *Registry) AllSettled() bool { return r.undisturbed.Load() }

// settleAll looks at every epoch that is not settled and tells whether all are.
func (r *Registry) settleAll(ctx context.Context) (bool, error) {
	r.mu.Lock()
	var open []string
	for master, e := range r.epochs {
		if e.settled.IsZero() {
			open = append(open, master)
		}
	}
	r.mu.Unlock()
	var failed error
	for _, master := range open {
		if err := r.settle(ctx, master); err != nil {
			failed = err
		}
	}
	return r.AllSettled(), failed
}

// settle marks the master's epoch as settled if this node and all its peers have
// verified their leases in it.
func (r *Registry) settle(ctx context.Context, master string) error {
	select {
	case r.settling <- struct{}{}:
		defer func() { <-r.settling }()
	case <-ctx.Done():
		return ctx.Err()
	}
	e, open := r.openEpoch(master)
	if !open {
		return nil
	}
	settled, err := false, error(nil)
	err = r.timed("epoch", func() error {
		settled, err = r.allVerified(ctx, master, &e)
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.epochs[master]; now != nil && now.id == e.id {
		now.ripe, now.tried = e.ripe, time.Now()
		if settled && !now.lost {
			now.settled = now.tried
			r.rubbish.took = now.settled.Sub(now.seen)
			r.updateSettled()
		}
	}
	return err
}

// openEpoch returns the master's epoch if it is worth a look: this node has
// verified it, and not looked at its peers just now.
func (r *Registry) openEpoch(master string) (epoch, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.epochs[master]
	if e == nil || !e.verified || e.lost || !e.settled.IsZero() || time.Since(e.tried) < settleEvery {
		return epoch{}, false
	}
	return *e, true
}

func (r *Registry) allVerified(ctx context.Context, master string, e *epoch) (bool, error) {
	if !e.ripe {
		up, known, err := r.uptime(ctx, master)
		if err != nil {
			return false, err
		}
		enough := minUptime
		if e.renewed {
			enough = max(enough, r.timing.NodeTTL())
		}
		e.ripe = !known || up >= enough
		if e.outage { // who has no lease any more shall have time to subscribe again, and is waited for then
			e.ripe = e.ripe && time.Since(e.seen) >= r.timing.silence()
		}
		if !e.ripe {
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

// peersVerified tells whether every other node says in its lease that it has
// verified the epoch. A peer is who subscribes to a private channel, because
// that survives a flush, or has a lease, because that survives a failover, or was
// seen to beat so lately that its lease, if it was not lost, lives. A subscriber
// without a lease is dead once it had time to write one.
func (r *Registry) peersVerified(ctx context.Context, master string, e *epoch) (bool, error) {
	subscribed, err := r.subscribed(ctx)
	if err != nil {
		return false, err
	}
	list, err := r.listNodes(ctx)
	if err != nil {
		return false, err
	}
	sighted := r.seenLately()
	peers := slices.DeleteFunc(slices.Concat(subscribed, list.ids(), sighted), func(id string) bool { return id == r.opts.NodeID })
	says, err := r.vouchers(ctx, peers, master+"="+e.id)
	if err != nil {
		return false, err
	}
	missing := func(id string) bool {
		what, isPeer := says[id]
		return isPeer && what < leaseSilent
	}
	patience := time.Since(e.seen) < 2*r.timing.NodeTTL()
	if patience && slices.ContainsFunc(subscribed, missing) || slices.ContainsFunc(sighted, missing) {
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
