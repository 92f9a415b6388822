package registry

import (
	"context"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// lastSeen is what this node remembers of another one for when Redis has lost it: that
// its lease may live. A node that is about to subscribe to its private channel again is
// known to nobody else then.
type lastSeen struct {
	beat float64   // the score of the node's last beat, its own time
	at   time.Time // when this node saw that beat first; zero: it was before this node began
	// differs says that the node's settings are others than this node's: its lease is read
	// again, because the node may have ended.
	differs bool
}

// fewNodes is how many nodes there may be for each beat to read the list of them. With
// more, a beat in as many more does: what all nodes read grows no faster than their number.
const fewNodes = 100

// nodesToRead returns how many nodes this beat reads from the list of them; 0: it does not
// read it. While this node yields to another one it always does.
func (r *Registry) nodesToRead() int {
	r.beats.Lock()
	defer r.beats.Unlock()
	r.beats.count++
	if r.beats.count%r.readListEveryLocked() == 0 || r.disagreement.Load() != nil {
		return maxNodes
	}
	return 0
}

// readListEveryLocked is in how many beats one reads the list. The caller holds beats.
func (r *Registry) readListEveryLocked() int { return max(1, len(r.beats.seen)/fewNodes) }

// rememberForLocked is how long a node is remembered that was seen to beat: until its
// lease has ended, even if a later beat was not seen. The caller holds beats.
func (r *Registry) rememberForLocked() time.Duration {
	return r.timing.NodeTTL() + time.Duration(r.readListEveryLocked()-1)*r.timing.Heartbeat
}

// noteNodeList takes what a beat has read of the list of nodes: it remembers those that
// have a lease, and compares the settings of those that are new with its own.
func (r *Registry) noteNodeList(ctx context.Context, own NodeInfo, c *redisconn.Call, read bool) error {
	list, err := r.readList(c)
	if err != nil || !read {
		return err
	}
	leases, err := r.readLeases(ctx, r.leasesToRead(list))
	if err != nil {
		return err
	}
	r.remember(&own.Settings, list, leases)
	r.beats.Lock()
	own.Since = time.UnixMilli(r.beats.since)
	r.beats.Unlock()
	r.compareSettings(ctx, own, leases)
	return nil
}

// leasesToRead returns the listed nodes whose leases are to be read: those that were not
// seen with one, and those whose settings differ.
func (r *Registry) leasesToRead(list nodeList) (ids []string) {
	r.beats.Lock()
	defer r.beats.Unlock()
	for _, n := range list.listed {
		if s, known := r.beats.seen[n.id]; (!known || s.differs) && n.id != r.opts.NodeID {
			ids = append(ids, n.id)
		}
	}
	return ids
}

// remember remembers the listed nodes that have a lease. leases are those that were read.
func (r *Registry) remember(own *Settings, list nodeList, leases []NodeInfo) {
	now := time.Now()
	r.beats.Lock()
	defer r.beats.Unlock()
	rememberFor := r.rememberForLocked()
	seen := make(map[string]lastSeen, len(list.listed))
	for id, s := range r.beats.seen {
		if now.Sub(s.at) < rememberFor {
			seen[id] = s
		}
	}
	byID := make(map[string]*NodeInfo, len(leases))
	for i := range leases {
		byID[leases[i].ID] = &leases[i]
	}
	for _, n := range list.listed {
		s, known := r.beats.seen[n.id]
		lease := byID[n.id]
		if !known && (lease == nil || lease.Started.UnixMilli() == 0) && n.id != r.opts.NodeID {
			continue // it has no lease, so far
		}
		switch {
		case r.beats.seen == nil:
			s = lastSeen{beat: n.beat}
		case !known || s.beat != n.beat:
			s = lastSeen{beat: n.beat, at: now, differs: s.differs}
		}
		if lease != nil {
			s.differs = own.differs(lease) != nil
		}
		seen[n.id] = s
	}
	r.beats.seen = seen
}

// seenRecently returns the nodes that may have a lease, whatever Redis says.
func (r *Registry) seenRecently() (ids []string) {
	r.beats.Lock()
	defer r.beats.Unlock()
	for id, s := range r.beats.seen {
		if time.Since(s.at) < r.rememberForLocked() {
			ids = append(ids, id)
		}
	}
	return ids
}
