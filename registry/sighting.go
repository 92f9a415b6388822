package registry

import (
	"context"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// sighting is what this node remembers of another one for when Redis has lost it: that
// its lease may live. A node that is about to subscribe its private channel again is known
// to nobody else then.
type sighting struct {
	beat float64   // the score of its last beat, its own time
	at   time.Time // when that was seen first; zero: it was before this node began
	// differs says that its settings are others than this node's: its lease is read again,
	// because the node may be gone.
	differs bool
}

// fewNodes is how many nodes there may be for each beat to read the list of them. With
// more, a beat in as many more does: what all nodes read grows no faster than they.
const fewNodes = 100

// looksAround returns how many nodes this beat reads from the list of them; 0: it does not
// read it. While this node yields to another one it always does.
func (r *Registry) looksAround() int {
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	r.beats++
	if r.beats%r.sightEvery() == 0 || r.disagreement.Load() != nil {
		return maxNodes
	}
	return 0
}

// sightEvery is in how many beats one reads the list. The caller holds beatMu.
func (r *Registry) sightEvery() int { return max(1, len(r.sighted)/fewNodes) }

// sightLife is how long a node is remembered that was seen to beat: until its lease has
// ended, of which a later beat may not have been seen. The caller holds beatMu.
func (r *Registry) sightLife() time.Duration {
	return r.timing.NodeTTL() + time.Duration(r.sightEvery()-1)*r.timing.Heartbeat
}

// lookAround takes what a beat has read of the list of nodes: it remembers those that have a
// lease, and compares the settings of those that are new with its own.
func (r *Registry) lookAround(ctx context.Context, own NodeInfo, c *redisconn.Call, read bool) error {
	list, err := r.readList(c)
	if err != nil || !read {
		return err
	}
	leases, err := r.readLeases(ctx, r.unfamiliar(list))
	if err != nil {
		return err
	}
	r.sight(&own.Settings, list, leases)
	r.beatMu.Lock()
	own.Since = time.UnixMilli(r.since)
	r.beatMu.Unlock()
	r.compare(ctx, own, leases)
	return nil
}

// unfamiliar returns the listed nodes whose leases are to be read: those that were not seen
// with one, and those whose settings differ.
func (r *Registry) unfamiliar(list nodeList) (ids []string) {
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	for _, n := range list.listed {
		if s, known := r.sighted[n.id]; (!known || s.differs) && n.id != r.opts.NodeID {
			ids = append(ids, n.id)
		}
	}
	return ids
}

// sight remembers the listed nodes that have a lease. leases are those that were read.
func (r *Registry) sight(own *Settings, list nodeList, leases []NodeInfo) {
	now := time.Now()
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	life := r.sightLife()
	sighted := make(map[string]sighting, len(list.listed))
	for id, s := range r.sighted {
		if now.Sub(s.at) < life {
			sighted[id] = s
		}
	}
	settings := make(map[string]*NodeInfo, len(leases))
	for i := range leases {
		settings[leases[i].ID] = &leases[i]
	}
	for _, n := range list.listed {
		s, known := r.sighted[n.id]
		lease := settings[n.id]
		if !known && (lease == nil || lease.Started.UnixMilli() == 0) && n.id != r.opts.NodeID {
			continue // it has no lease, so far
		}
		switch {
		case r.sighted == nil:
			s = sighting{beat: n.beat}
		case !known || s.beat != n.beat:
			s = sighting{beat: n.beat, at: now, differs: s.differs}
		}
		if lease != nil {
			s.differs = own.differs(lease) != nil
		}
		sighted[n.id] = s
	}
	r.sighted = sighted
}

// seenLately returns the nodes that may have a lease, whatever Redis says.
func (r *Registry) seenLately() (ids []string) {
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	for id, s := range r.sighted {
		if time.Since(s.at) < r.sightLife() {
			ids = append(ids, id)
		}
	}
	return ids
}
