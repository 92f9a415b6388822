package registry

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// Others can write under beeline's prefix. A key in the place of an address's owners that
// can't be theirs (of another type, or a hash of more entries than a cluster has nodes) has
// overwritten them. That is a loss of data which Redis' epoch does not show. So the node
// that finds such a key, by a lookup or a claim,
//
//  1. takes the event overwritten for the epoch of the key's master: nothing that the master
//     answers proves anything to this node,
//  2. begins a new epoch there, for all nodes, as after a flush: all verify their leases,
//     and the nodes that hold one of the address write it in the key's place,
//  3. and only then removes the key, if it still is there. Before, an empty answer would
//     have proved to other nodes that nobody owns the address.
//
// A new epoch makes work for all nodes, so the next is begun only after twice the time that
// the last took to settle: somebody who overwrites keys all the time can't keep a cluster
// from welcoming clients.

const (
	// maxOverwritten is how many keys wait to be removed. Those beyond are found again.
	maxOverwritten = 1 << 10
	// minCalm is how long an epoch lasts before another one is begun for a key.
	minCalm = time.Second
)

// overwrittenKeys is what a registry knows of keys that are not beeline's. Registry.mu
// guards it, but for the log.
type overwrittenKeys struct {
	waiting   map[string]epochOf // by address: keys to be removed
	settledIn time.Duration      // the time that the last epoch took to settle

	log limitedLog
}

// epochOf is the epoch that a key was found in.
type epochOf struct{ master, id string }

// foundOverwritten takes note that the key of address is none of beeline's. At
// maxOverwritten it is left for the next node, or time, that finds it.
func (r *Registry) foundOverwritten(address, what string) {
	if r.awaitRemoval(address, "") {
		r.logOverwritten(r.keys.Address(address), what)
	}
}

// awaitRemoval has a key removed in the next epoch of its master; empty: it is not known
// yet. It returns false if that was due before, or can't be now.
func (r *Registry) awaitRemoval(address, master string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.overwritten.waiting[address]; known || len(r.overwritten.waiting) >= maxOverwritten {
		return false
	}
	found := epochOf{}
	if e := r.epochs.of[master]; e != nil {
		found = epochOf{master, e.id}
		r.epochOverwrittenLocked(master)
	}
	r.overwritten.waiting[address] = found
	r.refresher.signal()
	return true
}

// claimMetOverwritten takes note of a key that was none of beeline's, and that the claim
// has replaced, or waits for the removal of.
func (r *Registry) claimMetOverwritten(cl *claim) {
	if cl.verdict == external {
		if r.awaitRemoval(cl.address, cl.master) {
			r.logOverwritten(r.keys.Address(cl.address), cl.was)
		}
		return
	}
	r.mu.Lock()
	r.epochOverwrittenLocked(cl.master) // the address's other owners have to verify their leases
	r.mu.Unlock()
	r.logOverwritten(r.keys.Address(cl.address), cl.was)
}

// logOverwritten logs and counts what was found in the place of a key.
func (r *Registry) logOverwritten(key, what string) {
	r.metrics.ForeignKeys.Inc()
	r.overwritten.log.warn(r.log, "a key under the prefix is not beeline's and is replaced", "key", quoted(key), "was", quoted(what))
}

// epochOverwrittenLocked takes the event overwritten for the current epoch of master. The
// caller holds mu.
func (r *Registry) epochOverwrittenLocked(master string) {
	if r.epochs.overwritten(master, time.Now()) {
		r.settledChangedLocked()
	}
	r.refresher.signal()
}

// replaceOverwritten begins new epochs where keys were overwritten, removes the keys that
// were found before, and returns when it wants to be called again; 0: when something
// happens.
func (f *refresher) replaceOverwritten(ctx context.Context) time.Duration {
	if f.r.nothingOverwritten() {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, f.r.timing.operation())
	defer cancel()
	f.findMastersOfOverwritten(ctx)
	wait := f.endOverwrittenEpochs(ctx)
	if f.removeOverwritten(ctx) && wait == 0 {
		wait = settlePause
	}
	return wait
}

// nothingOverwritten reports whether there is nothing to replace.
func (r *Registry) nothingOverwritten() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.overwritten.waiting) == 0 && !r.epochs.any(allMasters, func(e *epoch) bool { return e.overwritten })
}

// findMastersOfOverwritten finds the masters of the keys that were found by lookups.
func (f *refresher) findMastersOfOverwritten(ctx context.Context) {
	r := f.r
	r.mu.Lock()
	waiting := maps.Clone(r.overwritten.waiting)
	r.mu.Unlock()
	for address, found := range waiting {
		if found.id != "" {
			continue
		}
		master, err := r.masters.tag(ctx, r.keys.Address(address))
		if err != nil {
			return // the epoch can't be read either
		}
		r.mu.Lock()
		if e := r.epochs.of[master]; e != nil {
			r.overwritten.waiting[address] = epochOf{master, e.id}
			r.epochOverwrittenLocked(master)
		}
		r.mu.Unlock()
	}
}

// endOverwrittenEpochs begins a new epoch on each master where a key was overwritten, unless
// the current one has just begun, and returns when it may.
func (f *refresher) endOverwrittenEpochs(ctx context.Context) (wait time.Duration) {
	r := f.r
	ends := make(map[string]string)
	r.mu.Lock()
	calm := max(minCalm, 2*r.overwritten.settledIn)
	for master, e := range r.epochs.of {
		switch left := calm - time.Since(e.detectedAt); {
		case !e.overwritten:
		case left > 0:
			wait = max(wait, left)
		default:
			ends[master] = e.id
		}
	}
	r.mu.Unlock()
	for master, id := range ends {
		if err := r.endEpoch(ctx, master, id); err != nil {
			r.log.Debug("an epoch in which a key was overwritten could not be ended", "error", err)
			wait = max(wait, settlePause)
		}
	}
	return wait
}

// endEpoch ends an epoch of a master, if another one has not begun already.
func (r *Registry) endEpoch(ctx context.Context, master, id string) error {
	c := r.epochCallAfter(master, id)
	if err := r.timed("epoch", func() error { return r.redis.Run(ctx, []*redisconn.Call{c}) }); err != nil {
		return fmt.Errorf("end epoch: %w", err)
	}
	_, err := r.noteEpochAnswer(master, c)
	return err
}

// removeOverwritten removes the keys that were found before the current epoch, and reports
// whether some are left.
func (f *refresher) removeOverwritten(ctx context.Context) (left bool) {
	r := f.r
	var addresses []string
	var calls []*redisconn.Call
	r.mu.Lock()
	for address, found := range r.overwritten.waiting {
		if e := r.epochs.of[found.master]; found.id != "" && (e == nil || e.id != found.id) {
			addresses = append(addresses, address)
			calls = append(calls, cleanScript.Call([]string{r.keys.Address(address)}, MaxOwners))
		}
	}
	r.mu.Unlock()
	if len(calls) > 0 {
		_ = r.timed("prune", func() error { return r.redis.Run(ctx, calls) })
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, c := range calls {
		if c.Cmd.Err() == nil {
			delete(r.overwritten.waiting, addresses[i])
		}
	}
	return len(r.overwritten.waiting) > 0
}
