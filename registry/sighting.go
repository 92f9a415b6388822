package registry

import (
	"context"
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

// fewNodes is how many nodes there may be for each beat to read the list of them. With
// more, a beat in as many more does: what all nodes read grows no faster than they.
const fewNodes = 100

// looksAround tells whether this beat reads the list of nodes.
func (r *Registry) looksAround() bool {
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	r.beats++
	return r.beats%r.sightEvery() == 0
}

// sightEvery is in how many beats one reads the list. The caller holds beatMu.
func (r *Registry) sightEvery() int { return max(1, len(r.sighted)/fewNodes) }

// sightLife is how long a node is remembered that was seen to beat: until its lease has
// ended, of which a later beat may not have been seen. The caller holds beatMu.
func (r *Registry) sightLife() time.Duration {
	return r.timing.NodeTTL() + time.Duration(r.sightEvery()-1)*r.timing.Heartbeat
}

// sight takes the list of nodes, as a beat has found it.
func (r *Registry) sight(listed []redis.Z) {
	now := time.Now()
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	life := r.sightLife()
	sighted := make(map[string]sighting, len(listed))
	for id, s := range r.sighted {
		if now.Sub(s.at) < life {
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

// longGone is how long a node is listed that does not beat any more. It is generous,
// since the times are the nodes' own.
const longGone = time.Hour

// strikeOff takes those off the list of nodes that are long gone: who was killed has not
// done so.
func (r *Registry) strikeOff(ctx context.Context, listed []redis.Z) {
	oldest := float64(time.Now().Add(-longGone).UnixMilli())
	var gone []any
	for _, z := range listed {
		if z.Score < oldest {
			gone = append(gone, z.Member)
		}
	}
	if len(gone) == 0 {
		return
	}
	if err := r.rdb.ZRem(ctx, r.keys.Nodes(), gone...).Err(); err != nil {
		r.log.Debug("nodes that are gone stay listed", "error", err)
	}
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
