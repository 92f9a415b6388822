package registry

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// Others can write under beeline's prefix. What stands where an address's owners should
// and can't be theirs (a key of another type, a hash of more entries than a cluster has
// nodes) has overwritten them: that is a loss of data, which Redis' epoch does not show. So
// the node that finds it, by a lookup or a claim,
//
//  1. takes the epoch of the key's master for lost: nothing is settled for this node,
//  2. begins a new epoch there, for all nodes, as after a flush: all verify their leases,
//     and who holds one of the address writes it in the key's place,
//  3. and only then removes the key, if it still is there. Before, an empty answer would
//     have proved to other nodes that nobody owns the address.
//
// A new epoch makes everybody work, so the next is begun only after twice the time that the
// last took to settle: whoever writes rubbish all the time can't keep a cluster from
// welcoming clients.

const (
	// maxRubbish is how many keys wait to be removed. What more there are is found again.
	maxRubbish = 1 << 10
	// minCalm is how long an epoch lasts before another one is begun for rubbish.
	minCalm = time.Second
	// rubbishLogEvery is the shortest time between two log lines about rubbish.
	rubbishLogEvery = 10 * time.Second
)

// rubbish is what a registry knows of keys that are not beeline's. Registry.mu guards it,
// but for the log.
type rubbish struct {
	waiting map[string]lostEpoch // by address: keys to be removed
	took    time.Duration        // that the last epoch took to settle

	log limitedLog
}

// lostEpoch is the epoch that rubbish was found in.
type lostEpoch struct{ master, id string }

// foundRubbish takes note that the key of address is none of beeline's. At maxRubbish
// it is left for the next who finds it.
func (r *Registry) foundRubbish(address, what string) {
	if r.awaitRemoval(address, "") {
		r.tellRubbish(r.keys.Address(address), what)
	}
}

// awaitRemoval has a key removed in the next epoch of its master; empty: it is not known
// yet. It returns false if that was due before, or can't be now.
func (r *Registry) awaitRemoval(address, master string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.rubbish.waiting[address]; known || len(r.rubbish.waiting) >= maxRubbish {
		return false
	}
	lost := lostEpoch{}
	if e := r.epochs[master]; e != nil {
		lost = lostEpoch{master, e.id}
		r.doubt(master)
	}
	r.rubbish.waiting[address] = lost
	r.refresher.nudge()
	return true
}

// claimMetRubbish takes note of a key that was none of beeline's, and that the claim has
// replaced, or waits for the removal of.
func (r *Registry) claimMetRubbish(cl *claim) {
	if cl.verdict == foreign {
		if r.awaitRemoval(cl.address, cl.master) {
			r.tellRubbish(r.keys.Address(cl.address), cl.was)
		}
		return
	}
	r.mu.Lock()
	r.doubt(cl.master) // who owned the address beside has to verify its lease
	r.mu.Unlock()
	r.tellRubbish(r.keys.Address(cl.address), cl.was)
}

// tellRubbish logs and counts what was found in the place of a key.
func (r *Registry) tellRubbish(key, what string) {
	r.metrics.ForeignKeys.Inc()
	r.rubbish.log.warn(r.log, "a key under the prefix is not beeline's and is replaced", "key", quoted(key), "was", quoted(what))
}

// doubt takes the current epoch of master for lost. The caller holds mu.
func (r *Registry) doubt(master string) {
	for tag, e := range r.epochs {
		if tag == master || master == everyMaster {
			e.lost, e.settled = true, time.Time{}
		}
	}
	r.updateSettled()
	r.refresher.nudge()
}

// mend begins new epochs for those that are lost, removes the keys that were found before,
// and returns when it wants to be called again; 0: when something happens.
func (f *refresher) mend(ctx context.Context) time.Duration {
	if f.r.isWhole() {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, f.r.timing.operation())
	defer cancel()
	f.placeRubbish(ctx)
	wait := f.renewLost(ctx)
	if f.removeRubbish(ctx) && wait == 0 {
		wait = settlePause
	}
	return wait
}

// isWhole reports whether there is nothing to mend.
func (r *Registry) isWhole() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rubbish.waiting) == 0 && !r.anyEpoch(everyMaster, func(e *epoch) bool { return e.lost })
}

// placeRubbish finds the masters of the keys that were found.
func (f *refresher) placeRubbish(ctx context.Context) {
	r := f.r
	r.mu.Lock()
	waiting := maps.Clone(r.rubbish.waiting)
	r.mu.Unlock()
	for address, lost := range waiting {
		if lost.id != "" {
			continue
		}
		master, err := r.masters.tag(ctx, r.keys.Address(address))
		if err != nil {
			return // with the epoch that can't be read either
		}
		r.mu.Lock()
		if e := r.epochs[master]; e != nil {
			r.rubbish.waiting[address] = lostEpoch{master, e.id}
			r.doubt(master)
		}
		r.mu.Unlock()
	}
}

// renewLost begins a new epoch on each master whose epoch is lost, unless that has just
// begun, and returns when it may.
func (f *refresher) renewLost(ctx context.Context) (wait time.Duration) {
	r := f.r
	lost := make(map[string]string)
	r.mu.Lock()
	calm := max(minCalm, 2*r.rubbish.took)
	for master, e := range r.epochs {
		switch left := calm - time.Since(e.seen); {
		case !e.lost:
		case left > 0:
			wait = max(wait, left)
		default:
			lost[master] = e.id
		}
	}
	r.mu.Unlock()
	for master, id := range lost {
		if err := r.renewEpoch(ctx, master, id); err != nil {
			r.log.Debug("a lost epoch could not be ended", "error", err)
			wait = max(wait, settlePause)
		}
	}
	return wait
}

// renewEpoch ends an epoch of a master, if another one has not begun already.
func (r *Registry) renewEpoch(ctx context.Context, master, lost string) error {
	c := r.epochCallAfter(master, lost)
	if err := r.timed("epoch", func() error { return r.redis.Run(ctx, []*redisconn.Call{c}) }); err != nil {
		return fmt.Errorf("end epoch: %w", err)
	}
	_, err := r.seeAnswer(master, c)
	return err
}

// removeRubbish removes the keys that were found before the current epoch, and reports
// whether some are left.
func (f *refresher) removeRubbish(ctx context.Context) (left bool) {
	r := f.r
	var addresses []string
	var calls []*redisconn.Call
	r.mu.Lock()
	for address, lost := range r.rubbish.waiting {
		if e := r.epochs[lost.master]; lost.id != "" && (e == nil || e.id != lost.id) {
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
			delete(r.rubbish.waiting, addresses[i])
		}
	}
	return len(r.rubbish.waiting) > 0
}

// limitedLog writes a line at most every rubbishLogEvery, and says how many it left out.
type limitedLog struct {
	mu   sync.Mutex
	last time.Time
	left int
}

func (l *limitedLog) warn(to *slog.Logger, text string, args ...any) {
	l.mu.Lock()
	if !l.last.IsZero() && time.Since(l.last) < rubbishLogEvery {
		l.left++
		l.mu.Unlock()
		return
	}
	left := l.left
	l.last, l.left = time.Now(), 0
	l.mu.Unlock()
	if left > 0 {
		args = append(args, "others_since_the_last_line", left)
	}
	to.Warn(text, args...)
}

// maxQuoted is the longest text from Redis that is shown, in bytes.
const maxQuoted = 100

// quoted makes what others wrote fit for a log line: short, and without what a terminal
// acts on.
func quoted(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
