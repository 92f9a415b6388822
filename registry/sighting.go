package registry

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// sighting is what this node remembers of another one for when Redis has lost it: that
// its lease may live. A node that is about to subscribe its private channel again is known
// to nobody else then.
type sighting struct {
	beat float64   // the score of its last beat, its own time
	at   time.Time // when that was seen first; zero: it was before this node began
}

// sight takes the list of nodes, as a beat has found it.
func (r *Registry) sight(listed []redis.Z) {
	now := time.Now()
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	sighted := make(map[string]sighting, len(listed))
	for id, s := range r.sighted {
		if now.Sub(s.at) < r.timing.NodeTTL() {
			sighted[id] = s
		}
	}
	for _, z := range listed {
		id, _ := z.Member.(string)
		s, known := r.sighted[id]
		switch {
		case r.sighted == nil:
			s = sighting{beat: z.Score}
		case !known || s.beat != z.Score:
			s = sighting{z.Score, now}
		}
		sighted[id] = s
	}
	r.sighted = sighted
}

// seenLately returns the nodes that may have a lease, whatever Redis says.
func (r *Registry) seenLately() (ids []string) {
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	for id, s := range r.sighted {
		if time.Since(s.at) < r.timing.NodeTTL() {
			ids = append(ids, id)
		}
	}
	return ids
}
