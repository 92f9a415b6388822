package registry

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// allMasters stands, in the place of one master's tag, for all masters: it is settled if all
// are, and in another epoch after each change of one of theirs. While slots of a Cluster
// move all masters have to vouch: it is unknown which one has answered, and one that has
// lost its data may have given away the slot before any node noticed the loss.
const allMasters = ""

// epochs are the current epochs of all masters, as one node knows them. It is pure, as an
// epoch is.
type epochs struct {
	timing Timing
	of     map[string]*epoch // by the tag of their master
	// changes counts what became settled, or ceased to be: it is the epoch of allMasters.
	changes uint64
	// slotMoves is how often slots had moved before all epochs were read last, and found
	// settled.
	slotMoves uint64
}

func newEpochs(t Timing) *epochs { return &epochs{timing: t, of: make(map[string]*epoch)} }

// read takes a master's answer that it is in epoch id. began is a new epoch, or nil.
// hasLeases says whether this node has leases, which may be lost.
func (s *epochs) read(master, id string, hasLeases bool, now time.Time) (began *epoch) {
	known := s.of[master]
	if known != nil && known.id == id {
		known.answeredAt = now
		return nil
	}
	e := &epoch{id: id, detectedAt: now, answeredAt: now, afterLoss: known != nil || hasLeases}
	if !e.afterLoss {
		e.state = epochVerified
	}
	e.afterOutage = known != nil && now.Sub(known.answeredAt) >= s.timing.silence()
	s.of[master] = e
	s.changes++
	return e
}

// on takes an event for epoch id of a master, unless another one has begun, and reports
// whether something became settled, or ceased to be.
func (s *epochs) on(event epochEvent, master, id string, now time.Time) (changed bool) {
	if e := s.of[master]; e != nil && e.id == id && e.on(event, now) {
		s.changes++
		return true
	}
	return false
}

// overwritten takes the event for the current epoch of a master, or of allMasters.
func (s *epochs) overwritten(master string, now time.Time) (changed bool) {
	for tag, e := range s.of {
		if tag == master || master == allMasters {
			changed = e.on(overwritten, now) || changed
		}
	}
	if changed {
		s.changes++
	}
	return changed
}

// keep forgets the epochs of all masters but some, and reports whether there was one.
func (s *epochs) keep(masters []string) (changed bool) {
	before := len(s.of)
	maps.DeleteFunc(s.of, func(tag string, _ *epoch) bool { return !slices.Contains(masters, tag) })
	if changed = len(s.of) < before; changed {
		s.changes++
	}
	return changed
}

// any reports whether cond holds for any epoch of master.
func (s *epochs) any(master string, cond func(*epoch) bool) bool {
	for tag, e := range s.of {
		if (tag == master || master == allMasters) && cond(e) {
			return true
		}
	}
	return false
}

// allSettled reports whether there is an epoch, and none that is not settled.
func (s *epochs) allSettled() bool {
	return len(s.of) > 0 && !s.any(allMasters, func(e *epoch) bool { return e.state != epochSettled })
}

// ofAll is the epoch of allMasters, settled or not.
func (s *epochs) ofAll() string { return strconv.FormatUint(s.changes, 10) }

// settled returns the epoch of a master if it is settled, else "".
func (s *epochs) settled(master string) string {
	if master == allMasters {
		if s.allSettled() {
			return s.ofAll()
		}
	} else if e := s.of[master]; e != nil && e.state == epochSettled {
		return e.id
	}
	return ""
}

// isSettled reports whether id is the current epoch of master, and settled.
func (s *epochs) isSettled(master, id string) bool { return id != "" && s.settled(master) == id }

// provesAbsence reports whether an empty answer of master, given in epoch id by not more
// than half a heartbeat before, proves that nobody owns the address: the epoch is settled,
// and, if data was lost before it, for so long that no answer from before is under way.
func (s *epochs) provesAbsence(master, id string, now time.Time) bool {
	return s.isSettled(master, id) && !s.any(master, func(e *epoch) bool {
		return e.afterLoss && now.Sub(e.settledAt) < s.timing.Heartbeat/2
	})
}

// beganLately reports whether data may have been lost within the life of a node lease: a
// missing one may be lost, then.
func (s *epochs) beganLately(now time.Time) bool {
	return s.any(allMasters, func(e *epoch) bool {
		return e.afterLoss && now.Sub(e.detectedAt) < s.timing.NodeTTL()
	})
}

// toVerify returns the epochs, by master, that a verification which begins now verifies.
func (s *epochs) toVerify() map[string]string {
	ids := make(map[string]string)
	for master, e := range s.of {
		if e.state >= epochNotified {
			ids[master] = e.id
		}
	}
	return ids
}

// unsettled returns the masters whose epochs are not settled.
func (s *epochs) unsettled() (masters []string) {
	for master, e := range s.of {
		if e.state != epochSettled {
			masters = append(masters, master)
		}
	}
	return masters
}

// awaitsPeers returns a copy of the master's epoch if it is worth a look at the other
// nodes: all that is missing is that they have verified, and they were not looked at
// within settleEvery.
func (s *epochs) awaitsPeers(master string, now time.Time) (epoch, bool) {
	e := s.of[master]
	if e == nil || e.state != epochVerified || e.overwritten || now.Sub(e.peersReadAt) < settleEvery {
		return epoch{}, false
	}
	return *e, true
}

// peersRead takes what became of a look at the other nodes, for the copy that awaitsPeers
// returned, and reports whether that settled the epoch.
func (s *epochs) peersRead(master string, read *epoch, verified bool, now time.Time) (changed bool) {
	e := s.of[master]
	if e == nil || e.id != read.id {
		return false
	}
	e.peersReturned, e.peersReadAt = read.peersReturned, now
	return verified && s.on(peersVerified, master, e.id, now)
}

// vouched lists the epochs that this node vouches for, in the form of the node lease:
// "tag=id,tag=id".
func (s *epochs) vouched() string {
	var pairs []string
	for tag, e := range s.of {
		if e.vouched() {
			pairs = append(pairs, tag+"="+e.id)
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// allRead notes that all epochs were read after slots had moved slotMoves times. If all are
// settled, each master vouches for its own slots again.
func (s *epochs) allRead(slotMoves uint64) {
	if s.allSettled() {
		s.slotMoves = slotMoves
	}
}
